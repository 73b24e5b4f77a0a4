import { narrowed, type Tensor } from "@plumbline/runtime"

/** Products read a frozen matrix alone, and would narrow it: the wide one is not kept. */
export const narrowMatrix = (tensor: Tensor): Tensor => {
  if (tensor.rank !== 2) return tensor
  const narrow = narrowed(tensor)
  tensor.dispose()
  return narrow
}
