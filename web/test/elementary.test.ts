import { expect, test } from "vitest";
import { exp, log } from "../src/elementary";

test("exp and log are those of the engine, but for the last digits", () => {
  for (let x = -12; x < 12; x += 0.0371) expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(1e-14);
  for (let x = 0.01; x < 100; x *= 1.037) expect(Math.abs(log(x) - Math.log(x))).toBeLessThan(1e-14);
  expect([exp(0), log(1)]).toEqual([1, 0]);
});
