#pragma once
// The most likely tokens of rows of logits on the CPU, as the runtime's `topRow` says.

#include <cmath>
#include <limits>
#include <vector>

#include "cpu-sampling.h"

namespace plumbline {

/** The ids of the largest logits, equal ones by rising id. @param ids filled; at most `count` of them */
inline void RankRow(const float* logits, int64_t count, std::vector<int32_t>& ids, int64_t wanted) {
  ids.clear();
  // of the last one, once there are enough; nothing compares with NaN
  float least = std::numeric_limits<float>::quiet_NaN();
  for (int64_t id = 0; id < count; id++) {
    const float logit = logits[id];
    if (logit <= least) continue;
    auto at = ids.end();
    while (at != ids.begin() && logit > logits[at[-1]]) at--;
    ids.insert(at, static_cast<int32_t>(id));
    if (static_cast<int64_t>(ids.size()) > wanted) ids.pop_back();
    if (static_cast<int64_t>(ids.size()) == wanted) least = logits[ids.back()];
  }
}

/** topLogProbs(logits [N, V], rows [M], targets [M], ids [M, K], logProbs [M, K], targetLogProbs [M]): the last three are filled. */
inline Napi::Value TopLogProbs(const Napi::CallbackInfo& info) {
  CurrentActivity() = {"topLogProbs", ""};
  return Guarded(info.Env(), [&]() -> Napi::Value {
    const auto logits = Dense(info, 0), logProbs = Dense(info, 4), targetLogProbs = Dense(info, 5);
    const auto rows = Dense(info, 1, at::kInt), targets = Dense(info, 2, at::kInt), ids = Dense(info, 3, at::kInt);
    CheckSizes(rows, {targets, targetLogProbs});
    CheckSizes(ids, {logProbs});
    const int64_t total = rows.numel(), count = logits.size(1), wanted = ids.size(1);
    const auto isInside = [](const at::Tensor& t, int64_t end) {
      const int* of = t.data_ptr<int>();
      return std::all_of(of, of + t.numel(), [=](int one) { return one >= 0 && one < end; });
    };
    if (ids.size(0) != total || wanted < 1 || wanted > count) throw ArgumentError("a place for each token of each row of logits");
    if (!isInside(rows, logits.size(0)) || !isInside(targets, count)) throw ArgumentError("rows and tokens that the logits have");
    Do([=] {
      ParallelFor(0, total, 1, [&](int64_t from, int64_t to) {
        std::vector<int32_t> best;
        best.reserve(wanted + 1);
        for (int64_t i = from; i < to; i++) {
          const float* row = Data(logits) + rows.data_ptr<int>()[i] * count;
          RankRow(row, count, best, wanted);
          const double normalizer = LogSum(row, CpuLoops().bestOf(row, count).logit, count);
          std::copy(best.begin(), best.end(), ids.data_ptr<int>() + i * wanted);
          for (int64_t k = 0; k < wanted; k++) Data(logProbs)[i * wanted + k] = static_cast<float>(row[best[k]] - normalizer);
          Data(targetLogProbs)[i] = static_cast<float>(row[targets.data_ptr<int>()[i]] - normalizer);
        }
      });
    });
    return info.Env().Undefined();
  });
}

}  // namespace plumbline
