export * from "./api";
export { CompassImage } from "./element";
