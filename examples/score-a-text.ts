/**
 * Log-probability of every token of a text under a model folder, or under an untrained model when none is given.
 *
 *   npx node examples/score-a-text.ts [MODEL_DIR]
 *
 * Prints the first tokens, in 1 second, and without a model folder ends with
 *
 *   … 35 tokens, mean -5.548 nats, perplexity 256.8
 */
import { byteTokenizer, collate, loadTokenizer, tokenizeText } from "@plumbline/data"
import { createModel, llama, loadCausalLM } from "@plumbline/models"
import { ModelRuntime, tf } from "@plumbline/runtime"
import { Console, Effect } from "effect"

const text = "A plumb line shows what is upright."

/** A folder's model and tokenizer, or new ones: bytes and random weights. */
const open = (folder: string | undefined) =>
  Effect.gen(function* () {
    if (folder !== undefined) {
      const model = yield* loadCausalLM(folder, { name: "scored", trainable: false })
      return { model, tokenizer: yield* loadTokenizer(folder) }
    }
    const table = { family: llama, vocabulary: 257, width: 64, layers: 2, heads: 4, mlpWidth: 192, maxPositions: 128 }
    return { model: createModel(table, 0), tokenizer: byteTokenizer({ specials: ["<|im_end|>"] }) }
  })

const program = Effect.gen(function* () {
  const { model, tokenizer } = yield* open(process.argv[2])
  const row = tokenizeText(tokenizer, text)
  const rows = collate([row], { layout: "packed", padId: tokenizer.padId })
  const logProbs = tf.tidy(() => model.tokenLogProbs(rows).logProbs.dataSync() as Float32Array)
  for (const [i, logProb] of logProbs.subarray(0, 5).entries()) {
    yield* Console.log(`${JSON.stringify(tokenizer.decode([rows.scored.targets[i]!])).padEnd(8)} ${logProb.toFixed(3)}`)
  }
  const mean = logProbs.reduce((sum, logProb) => sum + logProb, 0) / logProbs.length
  yield* Console.log(
    `… ${logProbs.length} tokens, mean ${mean.toFixed(3)} nats, perplexity ${Math.exp(-mean).toFixed(1)}`
  )
})

await Effect.runPromise(program.pipe(Effect.provide(ModelRuntime.layerWasm)))
