import * as tf from "@tensorflow/tfjs-core"
import { registerTorchBackend } from "./src/register.ts"
import { loadAddon } from "./src/addon.ts"
registerTorchBackend({ device: "cpu" }); await tf.setBackend("torch")
const a = loadAddon(); a.threads(1)
const x = tf.ones([4,4]), y = tf.ones([4,4])
for (const [n,f] of Object.entries({ add: () => tf.add(x,y), mulScalar: () => tf.mul(x,0.5), matMul: () => tf.matMul(x,y), transpose: () => tf.transpose(x), sum: () => tf.sum(x), reshape: ()=> tf.reshape(x,[16]), relu: () => tf.relu(x) })) {
  for (let i=0;i<3000;i++) f().dispose()
  const t=process.cpuUsage(); const t0=performance.now(); for (let i=0;i<20000;i++) f().dispose(); const u=process.cpuUsage(t)
  console.log(n, ((performance.now()-t0)/20).toFixed(1), "us/op wall", ((u.user+u.system)/20000).toFixed(1), "cpu")
}
console.log(a.handleStatistics(), tf.memory().numTensors)
