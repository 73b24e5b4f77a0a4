import { objectiveLaws } from "@plumbline/training/testing"
import { pairSplits } from "../testing/preference-batches.ts"
import { smallModel } from "../testing/small-models.ts"
import { aot, aotUnpaired } from "./aot.ts"
import { apoDown, apoZero } from "./apo.ts"
import { bcoPair } from "./bco-pair.ts"
import { discopop } from "./discopop.ts"
import { jensenShannon } from "./divergence.ts"
import { dpo } from "./dpo.ts"
import { exo } from "./exo.ts"
import { hinge } from "./hinge.ts"
import { ipo } from "./ipo.ts"
import { lengthDesensitized } from "./ld-dpo.ts"
import { chosenCrossEntropy, mix } from "./mix.ts"
import { nca } from "./nca.ts"
import { preferenceObjective } from "./preference-objective.ts"
import { robust } from "./robust.ts"
import { rpoBackwardKl, rpoForwardKl, rpoSquared } from "./rpo.ts"
import { sigmoidNorm } from "./sigmoid-norm.ts"
import { sppoHard } from "./sppo.ts"
import { onPolicyWeighted } from "./wpo.ts"

const beta = 0.3
const losses = [
  dpo({ beta }),
  dpo({ beta, divergence: jensenShannon }),
  hinge({ beta }),
  ipo({ beta }),
  exo({ beta, labelSmoothing: 0.01 }),
  nca({ beta }),
  robust({ beta, labelSmoothing: 0.1 }),
  bcoPair({ beta }),
  sppoHard({ beta }),
  aot({ beta }),
  aotUnpaired({ beta, labelSmoothing: 0.1 }),
  apoZero({ beta }),
  apoDown({ beta }),
  discopop({ beta }),
  sigmoidNorm({ beta }),
  rpoSquared({ beta }),
  rpoBackwardKl({ beta }),
  rpoForwardKl({ beta, rewardScale: 0.5 }),
  chosenCrossEntropy,
  mix([
    { loss: aot({ beta }), weight: 0.7 },
    { loss: hinge({ beta }), weight: 1 },
    { loss: chosenCrossEntropy, weight: 0.5 }
  ]),
  lengthDesensitized(ipo({ beta }), { alpha: 0.3 }),
  onPolicyWeighted(dpo({ beta })),
  onPolicyWeighted(lengthDesensitized(ipo({ beta }), { alpha: 0.5 }))
]

losses.forEach((loss, i) =>
  objectiveLaws(`${i} ${loss.name}`, {
    objective: preferenceObjective(loss),
    models: () => ({ policy: smallModel() }),
    scale: 1,
    splits: () => pairSplits(loss.tailWeight)
  })
)
