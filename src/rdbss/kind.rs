//! The operations as numbers: what is counted by operation has a place for each, from the
//! beginning.

/// Declares the kinds with their words.
macro_rules! kinds {
    ($($kind:ident = $word:literal),+ $(,)?) => {
        /// Which operation a request is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum OperationKind {
            $(#[doc = concat!("`", $word, "`.")] $kind,)+
        }

        impl OperationKind {
            /// All of them, each at the place its number says.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The word `minirdr requests` shows, and the `op` of metrics.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$kind => $word,)+
                }
            }
        }
    };
}

kinds! {
    Lookup = "lookup",
    GetAttributes = "getattr",
    SetAttributes = "setattr",
    ReadLink = "readlink",
    MakeNode = "mknod",
    Link = "link",
    Unlink = "unlink",
    RemoveDirectory = "rmdir",
    Rename = "rename",
    Open = "open",
    Create = "create",
    Read = "read",
    WriteBack = "write-back",
    Write = "write",
    Flush = "flush",
    Release = "release",
    Synchronize = "fsync",
    OpenDirectory = "opendir",
    ReadDirectory = "readdir",
    QueryVolume = "statfs",
    GetExtendedAttribute = "getxattr",
    ListExtendedAttributes = "listxattr",
    SetExtendedAttribute = "setxattr",
    RemoveExtendedAttribute = "removexattr",
    Access = "access",
    Allocate = "fallocate",
    Seek = "lseek",
    CopyRange = "copy_file_range",
    GetLock = "getlk",
    SetLock = "setlk",
}

impl OperationKind {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_the_place_its_number_says() {
        for (at, kind) in OperationKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at, "{}", kind.word());
        }
    }
}
