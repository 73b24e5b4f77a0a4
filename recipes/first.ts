import { sft, SupervisedData } from "@plumbline/algorithms"
import { byteTokenizer, Tokenizer } from "@plumbline/data"
import { llama, Policy } from "@plumbline/models"
import { recipe, runTraining, trainingOptions } from "@plumbline/training"
import { Effect, Schema } from "effect"

const tokenizer = byteTokenizer({ specials: ["<|im_end|>"] })
const table = { family: llama, vocabulary: 257, width: 64, layers: 2, heads: 4, mlpWidth: 192, maxPositions: 64 }
const options = trainingOptions({ maxSteps: 200, learningRate: 3e-3 })
const training = runTraining({ algorithm: sft(), options, extraFiles: tokenizer.files }).pipe(
  Effect.provide(SupervisedData.layerFiles({ ...options, train: "recipes/capitals.jsonl" })),
  Effect.provide([Policy.layerNew(table, 0), Tokenizer.layer(tokenizer)])
)
export default recipe({ name: "first", params: Schema.Struct({}), run: () => training })
