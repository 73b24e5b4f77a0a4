import {
  normParts,
  type ProcessesShape,
  sumOverProcesses,
  sumPart,
  tf,
  type NamedTensorMap,
  type Tensor,
  type Tensor1D,
  type Variable
} from "@plumbline/runtime"
import { isDivided } from "./parts.ts"

/**
 * All processes' gradients added up: of those that are divided this process's part [size / processes], the others whole.
 * Takes the gradients over.
 *
 * @param own by variable name; a variable that another process alone has a gradient of is there, too, afterwards
 */
export const reduceGradients = (
  own: NamedTensorMap,
  variables: ReadonlyArray<Variable>,
  { exchange, size }: ProcessesShape
): NamedTensorMap => {
  if (size === 1) return own
  const known = new Set(exchange(Object.keys(own)).flat())
  const reached = variables.filter(({ name }) => known.has(name))
  const reduced: NamedTensorMap = {}
  for (const variable of reached.filter((each) => isDivided(each.size, size))) {
    const gradient = own[variable.name] ?? tf.zeros(variable.shape)
    reduced[variable.name] = sumPart(gradient)
    gradient.dispose()
  }
  const whole = reached.filter((each) => !isDivided(each.size, size))
  return { ...reduced, ...reduceTogether(whole, own) }
}

/** Small ones go as one. */
const reduceTogether = (variables: ReadonlyArray<Variable>, own: NamedTensorMap): NamedTensorMap => {
  if (variables.length === 0) return {}
  const sums = tf.tidy(() => {
    const flat = variables.map(({ name, size }) => own[name]?.reshape([size]) ?? tf.zeros([size]))
    const sum = sumOverProcesses(tf.concat(flat) as Tensor1D)
    return tf.split(
      sum,
      variables.map(({ size }) => size)
    )
  })
  return Object.fromEntries(
    variables.map(({ name, shape }, i): readonly [string, Tensor] => {
      own[name]?.dispose()
      const gradient = sums[i]!.reshape(shape)
      sums[i]!.dispose()
      return [name, gradient]
    })
  )
}

/**
 * Of the norm of all gradients together, what this process has to say: of its parts, and in the first process of what is
 * whole everywhere.
 */
export const ownNormParts = (
  gradients: NamedTensorMap,
  variables: ReadonlyArray<Variable>,
  { rank, size }: ProcessesShape
): Tensor1D => {
  const counted = variables.filter((variable) => rank === 0 || isDivided(variable.size, size))
  return normParts(counted.flatMap(({ name }) => gradients[name] ?? []))
}
