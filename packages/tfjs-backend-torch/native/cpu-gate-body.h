// The gated activation on sixteen numbers at a time, the same numbers as SiluGate's to the bit: it is more arithmetic than
// reading. Included behind cpu-prompt-tile.h for AVX-512.

typedef uint16_t NarrowColumn __attribute__((vector_size(PLUMBLINE_COLUMN / 2)));
typedef uint32_t BitsColumn __attribute__((vector_size(PLUMBLINE_COLUMN)));

PLUMBLINE_INLINE Column ColumnAt(const Bfloat16* x) {
  NarrowColumn narrow;
  std::memcpy(&narrow, x, sizeof(narrow));
  return (Column)(__builtin_convertvector(narrow, BitsColumn) << 16);
}

/** Rounded as Put does. */
PLUMBLINE_INLINE void PutColumn(Bfloat16* to, Column x) {
  const BitsColumn bits = (BitsColumn)x;
  const BitsColumn rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const BitsColumn kept = x == x ? rounded : BitsColumn{} + 0x7fc0;
  const NarrowColumn narrow = __builtin_convertvector(kept, NarrowColumn);
  std::memcpy(to, &narrow, sizeof(narrow));
}

template <typename T>
inline void SiluGate(const T* gate, const T* up, T* out, int64_t count) {
  int64_t i = 0;
  for (; i + kColumn <= count; i += kColumn) {
    const Column x = ColumnAt(gate + i);
    const Column value = x / (1.f + ExponentialOf<Column, WholeColumn>(-x)) * ColumnAt(up + i);
    PutColumn(out + i, x == x ? value : x);
  }
  avx2::SiluGate(gate + i, up + i, out + i, count - i);
}
