//! Finds out when the database can be written again.

use std::sync::Arc;

use crate::store::{Store, StoreError};

/// Looks whether there is room again, after there was none.
#[derive(Debug)]
pub struct RoomWatch {
    store: Arc<Store>,
}

impl RoomWatch {
    /// A watch over a database.
    #[must_use]
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Looks once. Does nothing while all is well.
    ///
    /// # Errors
    ///
    /// If there is none yet.
    pub async fn run_once(&self) -> Result<(), StoreError> {
        self.store.look_for_room().await
    }
}
