import type { TokenRows } from "@plumbline/data"
import {
  fusesGatedMlp,
  gatedMlp,
  type GateFunction,
  groupedLinears,
  linear,
  linears,
  type RowGroups,
  type Tensor,
  type Tensor1D,
  type Tensor2D
} from "@plumbline/runtime"

/** How blocks reach their parameters. Adapters wrap it, so a block never knows whether it is adapted. */
export interface Weights {
  /** A parameter as it is: embeddings, norms, the output matrix. */
  readonly tensor: (name: string) => Tensor
  /** The linear layer `name`, [N, I] → [N, O]: x·Wᵀ, plus its bias where the model has one. */
  readonly linear: (x: Tensor2D, name: string) => Tensor2D
  /** The linear layers `names` on one x: what `linear` gives for each, in fewer products where the backend can. */
  readonly linears: (x: Tensor2D, names: ReadonlyArray<string>) => ReadonlyArray<Tensor2D>
  /**
   * The linear layers `names[g]` on the rows of group g, the groups of x one after another: an output for each layer of a group,
   * [N, O]. For experts; absent where they are to go one by one.
   */
  readonly grouped?:
    | ((x: Tensor2D, groups: RowGroups, names: ReadonlyArray<ReadonlyArray<string>>) => ReadonlyArray<Tensor2D>)
    | undefined
  /** The gated MLP of these layers in kernels of its own; undefined where there are none for it, or a layer is more than a matrix. */
  readonly gatedMlp?:
    | ((
        x: Tensor2D,
        names: Readonly<Record<"gate" | "up" | "down", string>>,
        activation: GateFunction
      ) => Tensor2D | undefined)
    | undefined
  /** Whether the backward pass makes cheap activations again in place of keeping them; false when absent. */
  readonly remakesActivations?: boolean | undefined
  /**
   * Is shown what a mixture does with the tokens of a pass, and gives the probabilities that it goes on with, for whoever
   * trains it.
   *
   * @param probabilities [N, E] of all experts
   * @param isChosen      [N, E] 1 where a token goes to an expert, else 0; a constant
   */
  readonly routing?: ((probabilities: Tensor2D, isChosen: Tensor2D) => Tensor2D) | undefined
  /** Weights for one pass over these rows, where something in them depends on the rows, as dropout does. */
  readonly forRows?: ((rows: TokenRows) => Weights) | undefined
  /** Those for some tokens of that pass, by flat position, where something in them depends on the token. */
  readonly forTokens?: ((tokens: Int32Array) => Weights) | undefined
}

/**
 * The parameters themselves, by name; looked up at every use, so replaced tensors are seen.
 *
 * @param need is told of each before it is read, where values come and go
 */
export const parameterWeights = (
  parameters: ReadonlyMap<string, Tensor>,
  need: (parameter: Tensor) => void = () => undefined
): Weights => {
  const tensor = (name: string): Tensor => {
    const found = parameters.get(name)
    if (found === undefined) throw new Error(`the model has no parameter ${name}`)
    need(found)
    return found
  }
  const layer = (name: string) =>
    [tensor(`${name}.weight`) as Tensor2D, parameters.get(`${name}.bias`) as Tensor1D | undefined] as const
  return {
    tensor,
    linear: (x, name) => linear(x, ...layer(name)),
    linears: (x, names) => linears(x, names.map(layer)),
    gatedMlp: (x, names, activation) => {
      // looked at before they are needed
      const mlpWidth = parameters.get(`${names.gate}.weight`)?.shape[0] ?? 0
      if (!fusesGatedMlp([...x.shape, mlpWidth])) return undefined
      const modules = [names.gate, names.up, names.down] as const
      if (modules.some((name) => parameters.has(`${name}.bias`))) return undefined
      const [gate, up, down] = modules.map((name) => layer(name)[0]) as [Tensor2D, Tensor2D, Tensor2D]
      return gatedMlp(x, { gate, up, down }, activation)
    },
    grouped: (x, groups, names) =>
      groupedLinears(
        x,
        groups,
        names.map((group) => group.map(layer))
      )
  }
}
