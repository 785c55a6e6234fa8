//! What a WRITE carries.

use std::ops::Deref;
use std::sync::Arc;

/// A WRITE's bytes. Shared once they are posted, in the one copy that posting makes: a stop that
/// gives up on the request keeps them (design README, invariant 9).
#[derive(Clone, Debug)]
pub enum WriteData<'a> {
    /// The kernel's buffer.
    Borrowed(&'a [u8]),
    /// A copy of it that several hold.
    Shared(Arc<[u8]>),
}

impl WriteData<'_> {
    /// The bytes for somebody to keep; copies what is borrowed.
    #[must_use]
    pub fn shared(self) -> Arc<[u8]> {
        match self {
            Self::Borrowed(data) => Arc::from(data),
            Self::Shared(data) => data,
        }
    }
}

impl Deref for WriteData<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Borrowed(data) => data,
            Self::Shared(data) => data,
        }
    }
}

impl<'a> From<&'a [u8]> for WriteData<'a> {
    fn from(data: &'a [u8]) -> Self {
        Self::Borrowed(data)
    }
}

impl From<Vec<u8>> for WriteData<'_> {
    fn from(data: Vec<u8>) -> Self {
        Self::Shared(Arc::from(data))
    }
}
