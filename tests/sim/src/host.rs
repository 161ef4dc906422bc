//! What HQ's conversions say of a submission that they do not take.

pub(crate) mod network {
    use otscert_replay::bindings::otscert::provision::network;

    use crate::hq::ConvertError;

    /// Why a submission is not taken.
    #[derive(Debug, thiserror::Error)]
    pub(crate) enum SubmitError {
        /// HQ's peers are its CAs and its zone.
        #[error("HQ has no peer {peer}")]
        NoSuchPeer {
            /// The peer.
            peer: String,
        },
        /// It does not have the form that the contract gives it.
        #[error(transparent)]
        Form(#[from] ConvertError),
    }

    impl From<SubmitError> for network::Error {
        fn from(error: SubmitError) -> Self {
            match error {
                SubmitError::NoSuchPeer { .. } => Self::NoSuchPeer,
                SubmitError::Form(error) => Self::Other(error.to_string()),
            }
        }
    }
}
