#pragma once
// How what a trace cannot do again says so.

namespace plumbline {

/** Something is done that depends on more than layouts, or that is no operator. Does nothing until trace.h is in use. */
inline void (*ForbidTrace)() = [] {};

}  // namespace plumbline
