#pragma once
// Any ATen operator, by name and overload, through the boxed dispatcher.

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/InferenceMode.h>
#include <napi.h>

#include <cmath>
#include <optional>
#include <sstream>

#include "handle.h"
#include "one-thread.h"
#include "peer-loss.h"

namespace plumbline {

enum class Kind { Tensor, Int, Float, Bool, Text, Scalar, Device, Ints, Floats, Bools, Tensors, OptionalTensors, Scalars, OptionalScalars, Unsupported };

struct Parameter {
  Kind kind;
  bool optional;
  std::optional<c10::IValue> fallback;
  std::string name;
};

struct Operator {
  static constexpr uint64_t kTag = 0x4f70657261746f72ULL;
  uint64_t tag = kTag;
  std::string name;
  c10::OperatorHandle handle;
  std::vector<Parameter> parameters;
  /** The result may lie in the first tensor's memory without being written. */
  bool mayBeView = false;
  /** The results are tensors among the arguments, which it writes into. */
  bool writes = false;
  /** The result is memory without values. */
  bool isEmpty = false;
  /** What says how much it has to do. */
  Factors factors;
};

inline Kind KindOfType(const c10::TypePtr& type) {
  switch (type->kind()) {
    case c10::TypeKind::TensorType: return Kind::Tensor;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType: return Kind::Int;
    case c10::TypeKind::FloatType: return Kind::Float;
    case c10::TypeKind::BoolType: return Kind::Bool;
    case c10::TypeKind::StringType: return Kind::Text;
    case c10::TypeKind::NumberType: return Kind::Scalar;
    case c10::TypeKind::DeviceObjType: return Kind::Device;
    case c10::TypeKind::ListType: {
      const auto element = type->castRaw<c10::ListType>()->getElementType();
      if (element->kind() == c10::TypeKind::OptionalType) {
        const Kind each = KindOfType(element->castRaw<c10::OptionalType>()->getElementType());
        return each == Kind::Tensor ? Kind::OptionalTensors : each == Kind::Scalar ? Kind::OptionalScalars : Kind::Unsupported;
      }
      switch (KindOfType(element)) {
        case Kind::Int: return Kind::Ints;
        case Kind::Float: return Kind::Floats;
        case Kind::Bool: return Kind::Bools;
        case Kind::Tensor: return Kind::Tensors;
        case Kind::Scalar: return Kind::Scalars;
        default: return Kind::Unsupported;
      }
    }
    default: return Kind::Unsupported;
  }
}

inline Parameter ParameterOf(const c10::Argument& argument) {
  c10::TypePtr type = argument.type();
  const bool optional = type->kind() == c10::TypeKind::OptionalType;
  if (optional) type = type->castRaw<c10::OptionalType>()->getElementType();
  std::optional<c10::IValue> fallback;
  if (argument.default_value()) fallback = *argument.default_value();
  return {KindOfType(type), optional, std::move(fallback), argument.name()};
}

/** Beyond it a double skips whole numbers. */
constexpr double kMostWhole = 9007199254740991;

inline double NumberOf(napi_env env, napi_value value, const Parameter& parameter) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) == napi_ok) return number;
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) == napi_ok) return flag ? 1 : 0;
  throw ArgumentError("argument " + parameter.name + " must be a number");
}

/** A size, an axis, a count: what is none of these would become some number or other. */
inline int64_t WholeNumberOf(napi_env env, napi_value value, const Parameter& parameter) {
  const double number = NumberOf(env, value, parameter);
  if (std::nearbyint(number) == number && std::fabs(number) <= kMostWhole) return static_cast<int64_t>(number);
  std::ostringstream text;
  text << "argument " << parameter.name << " must be a whole number, but is " << number;
  throw ArgumentError(text.str());
}

/** A whole number is an int scalar, as in Python `2` is; −0, fractions and what no int64 holds are floats. */
inline at::Scalar ScalarOf(napi_env env, napi_value value, const Parameter& parameter) {
  bool flag = false;
  if (napi_get_value_bool(env, value, &flag) == napi_ok) return at::Scalar(flag);
  const double number = NumberOf(env, value, parameter);
  const bool whole = std::nearbyint(number) == number && std::fabs(number) < kMostWhole && !(number == 0 && std::signbit(number));
  return whole ? at::Scalar(static_cast<int64_t>(number)) : at::Scalar(number);
}

template <typename Each>
void ForEach(napi_env env, napi_value list, const Parameter& parameter, Each each) {
  uint32_t length = 0;
  if (napi_get_array_length(env, list, &length) != napi_ok) {
    throw ArgumentError("argument " + parameter.name + " must be an array");
  }
  for (uint32_t i = 0; i < length; i++) {
    napi_value element = nullptr;
    napi_get_element(env, list, i, &element);
    each(element);
  }
}

template <typename T, typename Convert>
c10::IValue ListOf(napi_env env, napi_value value, const Parameter& parameter, Convert convert) {
  c10::List<T> list;
  ForEach(env, value, parameter, [&](napi_value element) { list.push_back(convert(element)); });
  return list;
}

inline bool IsAbsent(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  return type == napi_undefined || type == napi_null;
}

inline c10::IValue Argument(Napi::Env env, napi_value value, const Parameter& parameter) {
  if (IsAbsent(env, value)) {
    if (parameter.optional) return {};
    // some operators say "none" with an undefined tensor
    if (parameter.kind == Kind::Tensor && Napi::Value(env, value).IsNull()) return at::Tensor();
    if (parameter.fallback) return *parameter.fallback;
    throw ArgumentError("argument " + parameter.name + " is missing");
  }
  const auto number = [&](napi_value element) { return NumberOf(env, element, parameter); };
  switch (parameter.kind) {
    case Kind::Tensor: return TensorOf(env, value);
    case Kind::Int: return WholeNumberOf(env, value, parameter);
    case Kind::Float: return number(value);
    case Kind::Bool: return number(value) != 0;
    case Kind::Text: return Napi::Value(env, value).As<Napi::String>().Utf8Value();
    case Kind::Scalar: return ScalarOf(env, value, parameter);
    case Kind::Device: return c10::Device(Napi::Value(env, value).As<Napi::String>().Utf8Value());
    case Kind::Ints:
      return ListOf<int64_t>(env, value, parameter, [&](napi_value e) { return WholeNumberOf(env, e, parameter); });
    case Kind::Floats: return ListOf<double>(env, value, parameter, number);
    case Kind::Bools: return ListOf<bool>(env, value, parameter, [&](napi_value e) { return number(e) != 0; });
    case Kind::Tensors:
      return ListOf<at::Tensor>(env, value, parameter, [&](napi_value e) { return TensorOf(env, e); });
    case Kind::OptionalTensors:
      return ListOf<std::optional<at::Tensor>>(env, value, parameter, [&](napi_value e) -> std::optional<at::Tensor> {
        if (IsAbsent(env, e)) return std::nullopt;
        return TensorOf(env, e);
      });
    case Kind::Scalars:
      return ListOf<at::Scalar>(env, value, parameter, [&](napi_value e) { return ScalarOf(env, e, parameter); });
    case Kind::OptionalScalars:
      return ListOf<std::optional<at::Scalar>>(env, value, parameter, [&](napi_value e) -> std::optional<at::Scalar> {
        if (IsAbsent(env, e)) return std::nullopt;
        return ScalarOf(env, e, parameter);
      });
    case Kind::Unsupported: break;
  }
  throw ArgumentError("argument " + parameter.name + " is of a kind that cannot be passed");
}

inline Napi::Value Result(Napi::Env env, const c10::IValue& value) {
  if (value.isTensor()) return Wrap(env, value.toTensor(), 2);
  CheckPeers();
  if (value.isInt()) return Napi::Number::New(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return Napi::Number::New(env, value.toDouble());
  if (value.isBool()) return Napi::Boolean::New(env, value.toBool());
  if (value.isTensorList()) {
    const auto tensors = value.toTensorVector();
    auto list = Napi::Array::New(env, tensors.size());
    for (uint32_t i = 0; i < tensors.size(); i++) list.Set(i, Wrap(env, tensors[i], 3));
    return list;
  }
  return env.Null();
}

/** "float32[2, 3], [int32[4]], 2": what an error says of the arguments. */
inline std::string Describe(const torch::jit::Stack& stack) {
  std::ostringstream text;
  const auto tensor = [&](const at::Tensor& t) { text << t.scalar_type() << t.sizes(); };
  for (size_t i = 0; i < stack.size(); i++) {
    if (i > 0) text << ", ";
    const auto& value = stack[i];
    if (value.isTensor()) {
      tensor(value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& each : value.toTensorList()) tensor(each);
    } else {
      text << value;
    }
  }
  return text.str();
}

/** operator(name, overload): throws where this torch has none. */
inline Napi::Value FindOperator(const Napi::CallbackInfo& info) {
  const auto env = info.Env();
  const auto name = info[0].As<Napi::String>().Utf8Value();
  const auto overload = info[1].As<Napi::String>().Utf8Value();
  const auto fullName = overload.empty() ? name : name + "." + overload;
  CurrentActivity() = {fullName, ""};
  return Guarded(env, [&]() -> Napi::Value {
    auto found = c10::Dispatcher::singleton().findSchema({name, overload});
    if (!found) throw ArgumentError("this torch has no such operator");
    auto* op = new Operator{Operator::kTag, fullName, *found, {}};
    op->isEmpty = name.rfind("aten::empty", 0) == 0;
    op->factors = FactorsOf(name);
    op->writes = !found->schema().returns().empty();
    for (const auto& result : found->schema().returns()) {
      op->writes &= result.alias_info() != nullptr && result.alias_info()->isWrite();
      op->mayBeView |= result.alias_info() != nullptr && !result.alias_info()->isWrite();
    }
    for (const auto& argument : found->schema().arguments()) op->parameters.push_back(ParameterOf(argument));
    return Napi::External<Operator>::New(env, op, [](Napi::Env, Operator* collected) { delete collected; });
  });
}

}  // namespace plumbline
