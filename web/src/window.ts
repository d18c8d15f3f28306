/** Rows `top` to `bottom` and columns `left` to `right`, without the last ones. */
export interface Window {
  top: number;
  left: number;
  bottom: number;
  right: number;
}

export interface Size {
  height: number;
  width: number;
}

export function sizeOf(window: Window): Size {
  return { height: window.bottom - window.top, width: window.right - window.left };
}

/** With a margin, out to multiples of `step`, as far as something of this size reaches. */
export function around(window: Window, margin: number, step: number, size: Size): Window {
  const down = (n: number) => Math.max(0, Math.floor((n - margin) / step) * step);
  const up = (n: number, end: number) => Math.min(end, Math.ceil((n + margin) / step) * step);
  return { top: down(window.top), left: down(window.left), bottom: up(window.bottom, size.height), right: up(window.right, size.width) };
}
