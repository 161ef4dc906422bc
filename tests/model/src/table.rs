//! Things, each with a number: a state of the model is a handful of numbers.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The number of a thing in its [`Table`].
pub(crate) type Number = u32;

/// Things, each with a number.
pub(crate) struct Table<T> {
    numbers: HashMap<Arc<T>, Number>,
    list: Vec<Arc<T>>,
}

impl<T: Eq + Hash> Table<T> {
    pub(crate) fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            list: Vec::new(),
        }
    }

    /// The number of a thing; a new one if it is new.
    pub(crate) fn number(&mut self, thing: T) -> Number {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = Number::try_from(self.list.len()).unwrap();
        let thing = Arc::new(thing);
        self.list.push(Arc::clone(&thing));
        self.numbers.insert(thing, number);
        number
    }

    pub(crate) fn of(&self, number: Number) -> &Arc<T> {
        &self.list[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }
}
