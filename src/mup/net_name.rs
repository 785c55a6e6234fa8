//! A name in a mount's namespace, normalised once at the edge: `/srv1/docs/plan.txt`.
//!
//! A prefix is such a name that has an owner. Names are of bytes, not of UTF-8, and are compared
//! component by component. Inside, a NUL stands before each component, a byte that no component
//! has and the smallest there is: so the order of the bytes is the order of the components, a
//! directory comes right before what is in it, and the root is the empty string.

use crate::base::limits::NET_NAME_BYTES_MAX;
use crate::base::name::Name;
use crate::base::status::Status;
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Stands before every component.
const MARK: u8 = 0;

/// A normalised name; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetName(Arc<[u8]>);

impl NetName {
    /// The mount itself: the one prefix of a single-share mount.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from([]))
    }

    /// Takes a path as people write it. Slashes in a row and at the end are one and none.
    ///
    /// # Errors
    /// `InvalidParameter` unless it begins with a slash, and for `.`, `..` and NUL; `NameTooLong`
    /// for a component over 255 bytes or a path over 4096.
    pub fn parse(path: &[u8]) -> Result<Self, Status> {
        let Some((b'/', below)) = path.split_first() else {
            return Err(Status::InvalidParameter);
        };
        let mut bytes = Vec::with_capacity(path.len());
        for component in below.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
            bytes.push(MARK);
            bytes.extend_from_slice(Name::new(component)?.as_bytes());
        }
        Self::checked(bytes)
    }

    /// The name of something in this directory.
    ///
    /// # Errors
    /// `NameTooLong` for a path over 4096 bytes.
    pub fn join(&self, name: &Name) -> Result<Self, Status> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.as_bytes().len());
        bytes.extend_from_slice(&self.0);
        bytes.push(MARK);
        bytes.extend_from_slice(name.as_bytes());
        Self::checked(bytes)
    }

    fn checked(bytes: Vec<u8>) -> Result<Self, Status> {
        if bytes.len() > NET_NAME_BYTES_MAX {
            return Err(Status::NameTooLong);
        }
        Ok(Self(bytes.into()))
    }

    /// Is it the mount itself?
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Its components, outermost first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        // What stands before the first mark is nothing.
        self.0.split(|&byte| byte == MARK).skip(1)
    }

    /// Its last component; none for the root.
    #[must_use]
    pub fn last(&self) -> Option<&[u8]> {
        self.0.rsplit(|&byte| byte == MARK).next().filter(|_| !self.is_root())
    }

    /// How many components it has.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.iter().filter(|&&byte| byte == MARK).count()
    }

    /// The name of its first `depth` components; itself if it has no more.
    #[must_use]
    pub fn truncated(&self, depth: usize) -> Self {
        let mut marks = self.0.iter().enumerate().filter(|(_, byte)| **byte == MARK);
        match marks.nth(depth) {
            Some((end, _)) => Self(self.0[..end].into()),
            None => self.clone(),
        }
    }

    /// The directory it is in; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let end = self.0.iter().rposition(|&byte| byte == MARK)?;
        Some(Self(self.0[..end].into()))
    }

    /// Is it `other`, or anywhere below it?
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let below = self.0.strip_prefix(&*other.0);
        below.is_some_and(|rest| rest.first().is_none_or(|&byte| byte == MARK))
    }

    /// As reports have paths: from the mount's root, without a leading slash.
    #[must_use]
    pub fn to_relative(&self) -> Vec<u8> {
        let mut path = self.to_path();
        path.remove(0);
        path
    }

    /// As people write it: `/` for the root.
    #[must_use]
    pub fn to_path(&self) -> Vec<u8> {
        if self.is_root() {
            return b"/".to_vec();
        }
        self.0.iter().map(|&byte| if byte == MARK { b'/' } else { byte }).collect()
    }

    /// As it is kept: a NUL before each component.
    pub(in crate::mup) fn marked(&self) -> &[u8] {
        &self.0
    }

    /// The directory whose kept name has so many bytes of this one's.
    pub(in crate::mup) fn cut(&self, bytes: usize) -> Self {
        if bytes == self.0.len() { self.clone() } else { Self(self.0[..bytes].into()) }
    }

    /// What was cut off behind [`NetName::marked`] of a directory, put back.
    pub(in crate::mup) fn with_rest(&self, rest: &[u8]) -> Self {
        debug_assert!(rest.first().is_none_or(|&byte| byte == MARK));
        Self([&*self.0, rest].concat().into())
    }

    /// Itself and every directory above it, as they are kept, innermost first.
    pub(in crate::mup) fn upwards(&self) -> impl Iterator<Item = &[u8]> {
        let mut next = Some(&*self.0);
        std::iter::from_fn(move || {
            let now = next?;
            next = now.iter().rposition(|&byte| byte == MARK).map(|end| &now[..end]);
            Some(now)
        })
    }

    /// The same, outermost first: the root, then one component more each.
    pub(in crate::mup) fn downwards(&self) -> impl Iterator<Item = &[u8]> {
        let bytes = &*self.0;
        let inside = bytes.iter().enumerate().skip(1).filter(|(_, byte)| **byte == MARK);
        let whole = (!bytes.is_empty()).then_some(bytes.len());
        let ends = std::iter::once(0).chain(inside.map(|(at, _)| at)).chain(whole);
        ends.map(move |end| &bytes[..end])
    }
}

impl Borrow<[u8]> for NetName {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for NetName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.to_path()).fmt(out)
    }
}

impl fmt::Debug for NetName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", String::from_utf8_lossy(&self.to_path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> NetName {
        NetName::parse(path.as_bytes()).expect("a good name")
    }

    #[test]
    fn a_path_is_normalised_or_refused() {
        for (given, kept) in [("/", "/"), ("//srv1///docs/", "/srv1/docs"), ("/a b", "/a b")] {
            assert_eq!(name(given).to_string(), kept);
        }
        assert_eq!(NetName::parse(b"/\xff/b").expect("any bytes").to_path(), b"/\xff/b");
        for bad in ["", "srv1/docs", "/a/./b", "/..", "/a\0b"] {
            assert_eq!(NetName::parse(bad.as_bytes()), Err(Status::InvalidParameter), "{bad:?}");
        }
        let long = format!("/{}", "x".repeat(256));
        assert_eq!(NetName::parse(long.as_bytes()), Err(Status::NameTooLong));
        let deep = "/x".repeat(2049);
        assert_eq!(NetName::parse(deep.as_bytes()), Err(Status::NameTooLong));
    }

    #[test]
    fn names_are_compared_by_components() {
        assert!(name("/srv1/docs").is_within(&name("/srv1")));
        assert!(name("/srv1").is_within(&name("/srv1")));
        assert!(name("/srv1").is_within(&NetName::root()));
        assert!(!name("/srv10").is_within(&name("/srv1")), "a component is matched whole");
        assert!(!name("/srv1").is_within(&name("/srv1/docs")));
        // `-` comes before `/` in ASCII, and must not come between a directory and its contents.
        let mut sorted = ["/a-b", "/a/c", "/a", "/", "/b"].map(name);
        sorted.sort();
        assert_eq!(sorted.map(|name| name.to_string()), ["/", "/a", "/a/c", "/a-b", "/b"]);
    }

    #[test]
    fn the_way_up_and_the_way_down() {
        let deep = name("/srv1/docs/x");
        let written = |marked: &[u8]| NetName(marked.into()).to_string();
        let up: Vec<String> = deep.upwards().map(written).collect();
        assert_eq!(up, ["/srv1/docs/x", "/srv1/docs", "/srv1", "/"]);
        let down: Vec<String> = deep.downwards().map(written).collect();
        assert_eq!(down, ["/", "/srv1", "/srv1/docs", "/srv1/docs/x"]);
        assert_eq!(NetName::root().upwards().count(), 1);
        assert_eq!(NetName::root().downwards().count(), 1);
        assert_eq!(deep.depth(), 3);
        assert_eq!(deep.truncated(2), name("/srv1/docs"));
        assert_eq!(deep.truncated(0), NetName::root());
        assert_eq!(deep.truncated(9), deep);
        assert_eq!(deep.parent(), Some(name("/srv1/docs")));
        assert_eq!(name("/srv1").parent(), Some(NetName::root()));
        assert_eq!(NetName::root().parent(), None);
        let components: Vec<&[u8]> = deep.components().collect();
        assert_eq!(components, [&b"srv1"[..], b"docs", b"x"]);
        assert_eq!(NetName::root().components().count(), 0);
        assert_eq!((deep.last(), NetName::root().last()), (Some(&b"x"[..]), None));
        let child = Name::new(b"y").expect("a good name");
        assert_eq!(deep.join(&child), Ok(name("/srv1/docs/x/y")));
        assert_eq!(NetName::root().join(&child), Ok(name("/y")));
        assert_eq!(name("/srv1").with_rest(&deep.marked()[5..]), deep);
    }
}
