//! The contract's types as a component, for compositions: interface `types` has no functions, so that nobody has to
//! implement it, and yet every component of a composition imports it. This one gives it to them, and the composition
//! as a whole asks nobody.

mod bindings;
