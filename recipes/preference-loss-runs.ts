import {
  alphaPo,
  aot,
  aotUnpaired,
  apoDown,
  apoZero,
  apoZeroUnpaired,
  bco,
  bcoPair,
  chosenCrossEntropy,
  cpo,
  discopop,
  dpo,
  exo,
  hinge,
  ipo,
  jensenShannon,
  kto,
  lengthDesensitized,
  mix,
  movingReference,
  nca,
  onPolicyWeighted,
  orpo,
  preference,
  PreferenceData,
  type PreferenceLoss,
  referenceFree,
  type ReferenceFreeLoss,
  referenceFreeTriples,
  ReferenceLogProbs,
  robust,
  rpoBackwardKl,
  rpoForwardKl,
  rpoSquared,
  sigmoidNorm,
  simpo,
  sppoHard,
  tpo,
  TripleData,
  unpaired,
  UnpairedData,
  type UnpairedLoss
} from "@plumbline/algorithms"
import type { TokenizerShape } from "@plumbline/data"
import { ReferencePolicy } from "@plumbline/models"
import { type Algorithm, type MicroBatch, runTraining, type Trainable, type TrainingOptions } from "@plumbline/training"
import { Effect } from "effect"

/** What all losses start from. */
export interface LossSetting extends TrainingOptions {
  readonly model: string
  readonly train: string
  readonly files: TokenizerShape["files"]
}

const run = <M extends Trainable, B extends MicroBatch, E, R>(algorithm: Algorithm<M, B, E, R>, setting: LossSetting) =>
  runTraining({ algorithm, options: setting, inputs: [setting.train], extraFiles: setting.files })

const onPairs = (loss: PreferenceLoss) => (setting: LossSetting) =>
  run(preference(loss), setting).pipe(
    Effect.provide(ReferenceLogProbs.layer),
    Effect.provide([PreferenceData.layerFiles(setting), ReferencePolicy.layerFrozen])
  )

/** The reference follows the policy. */
const trDpo = (setting: LossSetting) =>
  run(movingReference(preference(dpo({ beta: 0.1 })), { every: 50, mixup: 0.6 }), setting).pipe(
    Effect.provide(ReferenceLogProbs.layer),
    Effect.provide([PreferenceData.layerFiles(setting), ReferencePolicy.layerMovable(setting.model)])
  )

/** Batches of as many pairs: each is two responses. */
const onJudged = (loss: UnpairedLoss) => (setting: LossSetting) =>
  run(unpaired(loss), setting).pipe(
    Effect.provide([
      UnpairedData.layerFiles({ ...setting, batchSize: 2 * setting.batchSize }),
      ReferencePolicy.layerFrozen
    ])
  )

const withoutReference = (loss: ReferenceFreeLoss) => (setting: LossSetting) =>
  run(referenceFree(loss), setting).pipe(Effect.provide(PreferenceData.layerFiles(setting)))

const onTriples = (setting: LossSetting) =>
  run(referenceFreeTriples(tpo({ beta: 0.1 })), setting).pipe(Effect.provide(TripleData.layerFiles(setting)))

const beta = 0.1
const imitating = [
  { loss: dpo({ beta }), weight: 1 },
  { loss: chosenCrossEntropy, weight: 0.5 }
] as const

/** By what `--loss` can name. */
export const losses = {
  dpo: onPairs(dpo({ beta })),
  cdpo: onPairs(dpo({ beta, labelSmoothing: 0.1 })),
  "dpo-js": onPairs(dpo({ beta, divergence: jensenShannon })),
  "dpo-nll": onPairs(mix(imitating)),
  "ld-dpo": onPairs(lengthDesensitized(dpo({ beta }), { alpha: 0.3 })),
  wpo: onPairs(onPolicyWeighted(dpo({ beta }))),
  "tr-dpo": trDpo,
  ipo: onPairs(ipo({ beta })),
  hinge: onPairs(hinge({ beta })),
  exo: onPairs(exo({ beta, labelSmoothing: 1e-3 })),
  nca: onPairs(nca({ beta })),
  robust: onPairs(robust({ beta, labelSmoothing: 0.1 })),
  "bco-pair": onPairs(bcoPair({ beta })),
  sppo: onPairs(sppoHard({ beta })),
  aot: onPairs(aot({ beta })),
  "aot-unpaired": onPairs(aotUnpaired({ beta })),
  "apo-zero": onPairs(apoZero({ beta })),
  "apo-down": onPairs(apoDown({ beta })),
  discopop: onPairs(discopop({ beta, temperature: 0.05 })),
  "sigmoid-norm": onPairs(sigmoidNorm({ beta: 2 })),
  "rpo-sq": onPairs(rpoSquared({ beta })),
  "rpo-bwd-kl": onPairs(rpoBackwardKl({ beta })),
  "rpo-fwd-kl": onPairs(rpoForwardKl({ beta })),
  kto: onJudged(kto({ beta })),
  "apo-zero-unpaired": onJudged(apoZeroUnpaired({ beta })),
  bco: onJudged(bco({ beta })),
  cpo: withoutReference(cpo({ beta })),
  simpo: withoutReference(simpo({ beta: 2, margin: 1 })),
  alphapo: withoutReference(alphaPo({ beta: 2, margin: 1, alpha: 0.25 })),
  orpo: withoutReference(orpo({ beta: 0.5 })),
  tpo: onTriples
}
