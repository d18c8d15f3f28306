// Functions that engines may compute each in its own way, in operations that IEEE 754 fixes.

const LN2_HIGH = 0.693147180369123816490; // their sum is the logarithm of 2, the first exactly times small whole numbers
const LN2_LOW = 1.90821492927058770002e-10;

/** e to the power of x, for |x| < 700. */
export function exp(x: number): number {
  const n = Math.round(x / (LN2_HIGH + LN2_LOW));
  const rest = x - n * LN2_HIGH - n * LN2_LOW;
  let sum = 1;
  for (let k = 16; k > 0; k--) sum = 1 + (rest / k) * sum;
  return sum * 2 ** n;
}

/** The natural logarithm of x > 0. */
export function log(x: number): number {
  let n = 0;
  for (; x > 1.5; x /= 2) n++;
  for (; x < 0.75; x *= 2) n--;
  const t = (x - 1) / (x + 1);
  let sum = 0;
  for (let k = 41; k > 0; k -= 2) sum = sum * t * t + 1 / k;
  return n * LN2_HIGH + (n * LN2_LOW + 2 * t * sum);
}
