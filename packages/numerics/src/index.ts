export { k1, k2, k3, type KlEstimator } from "./kl.ts"
export { logSigmoid } from "./log-sigmoid.ts"
export { maskedMean, maskedSum } from "./masked.ts"
export { countByRow, meanByRow, sumByRow } from "./rows.ts"
