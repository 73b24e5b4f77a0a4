import type { Tensor2D } from "@plumbline/runtime"
import { type AdapterTensor, zeros } from "../method.ts"
import type { LinearModule } from "../targets.ts"
import type { LoraInit, LoraStart } from "./lora-start.ts"
import { orthogonalPair } from "./orthogonal.ts"
import { pissa } from "./pissa.ts"

type Initial = Readonly<Record<"a" | "b", AdapterTensor["initial"]>>

/** A and B are what is trained and stored. */
const plain = (
  named: boolean | string,
  isNeutral: boolean,
  initial: (module: LinearModule, rank: number) => Initial
): LoraStart => ({
  named,
  isNeutral,
  storedRanks: 1,
  tensors: (module, { plusRatio: rate, rank }) => {
    const { a, b } = initial(module, rank)
    return [
      { suffix: "lora_A.weight", shape: [rank, module.inputs], initial: a },
      { suffix: "lora_B.weight", shape: [module.outputs, rank], initial: b, rate }
    ]
  },
  pair: (own) => ({ a: () => own("lora_A.weight") as Tensor2D, b: () => own("lora_B.weight") as Tensor2D })
})

/** As PEFT starts them. */
export const loraStarts: Readonly<Record<LoraInit, LoraStart>> = {
  // nn.Linear's: uniform within 1/√I
  kaiming: plain(true, true, ({ inputs, outputs }, rank) => ({
    a: ({ uniform }) => zeros([rank, inputs]).map((_, i) => (2 * uniform(i) - 1) / Math.sqrt(inputs)),
    b: () => zeros([outputs, rank])
  })),
  gaussian: plain("gaussian", true, ({ inputs, outputs }, rank) => ({
    a: ({ normal }) => zeros([rank, inputs]).map((_, i) => normal(i) / rank),
    b: () => zeros([outputs, rank])
  })),
  orthogonal: plain("orthogonal", false, orthogonalPair),
  pissa
}
