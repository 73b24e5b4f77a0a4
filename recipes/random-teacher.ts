import type { TokenizerShape } from "@plumbline/data"
import { createModel, llama, Teacher } from "@plumbline/models"
import { Effect, Layer } from "effect"

/** A teacher that knows nothing, of the student's shape. */
export const randomTeacher = ({ seed, tokenizer }: { readonly seed: number; readonly tokenizer: TokenizerShape }) =>
  Layer.effect(
    Teacher,
    Effect.acquireRelease(
      Effect.sync(() => {
        const size = {
          vocabulary: tokenizer.vocabSize,
          width: 96,
          layers: 2,
          heads: 6,
          mlpWidth: 288,
          maxPositions: 96
        }
        return createModel({ family: llama, ...size }, seed, { name: "teacher", trainable: false })
      }),
      (model) => Effect.sync(model.dispose)
    )
  )
