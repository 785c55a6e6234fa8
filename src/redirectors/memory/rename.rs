//! Moving names: one step over both directories, whatever is replaced or exchanged.

use crate::base::name::Name;
use crate::base::status::{Errno, Status};
use crate::mrx::request::{ChangeKind, RenameMode, Timestamp};
use crate::redirectors::memory::namespace::Namespace;
use crate::redirectors::memory::node::{Node, Place};
use crate::redirectors::memory::server::MemoryServer;
use crate::redirectors::memory::watch::Woken;
use std::sync::Arc;

/// A directory and a name in it.
type End<'a> = (&'a Node, &'a Name);

/// What a name leads to, and its cookie.
struct Held {
    cookie: u64,
    node: Arc<Node>,
}

/// A rename of something to a name that may be taken.
struct Renaming<'a> {
    from: End<'a>,
    to: End<'a>,
    source: Held,
    target: Option<Held>,
    mode: RenameMode,
    now: Timestamp,
}

impl MemoryServer {
    /// Moves a name.
    ///
    /// # Errors
    /// ENOENT: no source, or no target to exchange with. EEXIST: there is a target and it must not
    /// be replaced. EINVAL: a directory into itself. ENOTEMPTY, ENOTDIR, EISDIR: the target cannot
    /// be replaced by the source. EMLINK.
    pub(super) fn rename(
        &self,
        from: End<'_>,
        to: End<'_>,
        mode: RenameMode,
        now: Timestamp,
    ) -> Result<(), Status> {
        let mut woken = Woken::default();
        let renaming = {
            let mut namespace = self.namespace.write();
            let source = held(&namespace, from)?.ok_or(Status::ObjectNameNotFound)?;
            let target = held(&namespace, to)?;
            let renaming = Renaming { from, to, source, target, mode, now };
            if renaming.check(&namespace, self.links_max)? {
                match (mode, &renaming.target) {
                    (RenameMode::Exchange, Some(target)) => {
                        renaming.exchange(target, &mut namespace, &mut woken)?;
                    }
                    _ => renaming.replace(&mut namespace, &mut woken)?,
                }
            }
            renaming
        };
        woken.deliver();
        // Holds what was replaced, perhaps for the last time: freed with the namespace unlocked.
        drop(renaming);
        Ok(())
    }
}

fn held(namespace: &Namespace, (directory, name): End<'_>) -> Result<Option<Held>, Status> {
    let found = namespace.directory(directory)?.find(name);
    Ok(found.map(|(cookie, node)| Held { cookie, node: Arc::clone(node) }))
}

impl Held {
    const fn at(&self, (directory, _): End<'_>) -> Place {
        Place { directory: directory.number(), cookie: self.cookie }
    }

    /// 1 for a directory, which links to its parent.
    fn links_up(&self) -> i32 {
        i32::from(self.node.is_directory())
    }
}

impl Renaming<'_> {
    /// May it be done? False: there is nothing to do, because both names lead to one file.
    fn check(&self, namespace: &Namespace, links_max: u32) -> Result<bool, Status> {
        let source = &self.source.node;
        match (self.mode, &self.target) {
            (RenameMode::NoReplace, Some(_)) => return Err(Status::ObjectNameCollision),
            (RenameMode::Exchange, None) => return Err(Status::ObjectNameNotFound),
            (_, Some(target)) if target.node.number() == source.number() => return Ok(false),
            _ => {}
        }
        let (from, to) = (self.from.0, self.to.0);
        if source.is_directory() && namespace.is_within(to.number(), source.number()) {
            return Err(Status::InvalidParameter);
        }
        let exchange = self.mode == RenameMode::Exchange;
        if let Some(Held { node: target, .. }) = &self.target {
            if target.is_directory() && namespace.is_within(from.number(), target.number()) {
                let full = Status::Posix(Errno::ENOTEMPTY);
                return Err(if exchange { Status::InvalidParameter } else { full });
            }
            match (source.is_directory(), target.is_directory()) {
                _ if exchange => {}
                (true, false) => return Err(Errno::ENOTDIR.into()),
                (false, true) => return Err(Errno::EISDIR.into()),
                (true, true) if !namespace.directory(target)?.is_empty() => {
                    return Err(Errno::ENOTEMPTY.into());
                }
                _ => {}
            }
        }
        let full = |directory: &Node| directory.state.read().links >= links_max;
        let gain = self.source.links_up() - self.target.as_ref().map_or(0, Held::links_up);
        let overfull = from.number() != to.number()
            && ((gain > 0 && full(to)) || (exchange && gain < 0 && full(from)));
        if overfull { Err(Errno::EMLINK.into()) } else { Ok(true) }
    }

    /// Moves the source, onto the target if there is one.
    fn replace(&self, namespace: &mut Namespace, woken: &mut Woken) -> Result<(), Status> {
        let ((from, from_name), (to, to_name)) = (self.from, self.to);
        let Held { cookie, node } = &self.source;
        let same_directory = from.number() == to.number();
        let new_cookie = match &self.target {
            Some(target) => {
                namespace.directory_mut(from)?.remove(*cookie);
                namespace.directory_mut(to)?.replace(target.cookie, Arc::clone(node));
                target.node.unlinked(target.at(self.to), self.now);
                if target.node.is_directory() {
                    namespace.remove_directory(target.node.number(), woken);
                }
                target.cookie
            }
            None if same_directory => {
                namespace.directory_mut(from)?.rename(*cookie, to_name);
                *cookie
            }
            None => {
                namespace.directory_mut(from)?.remove(*cookie);
                namespace.directory_mut(to)?.add(to_name, Arc::clone(node))
            }
        };
        let place = Place { directory: to.number(), cookie: new_cookie };
        node.moved(self.source.at(self.from), place, self.now);
        if node.is_directory() {
            namespace.set_parent(node.number(), to.number(), woken);
        }
        let lost = self.target.as_ref().map_or(0, Held::links_up);
        from.entries_changed(-self.source.links_up(), self.now);
        to.entries_changed(self.source.links_up() - lost, self.now);
        namespace.directory_mut(from)?.record(Some(from_name), ChangeKind::Removed, woken);
        let target = namespace.directory_mut(to)?;
        if self.target.is_some() {
            target.record(Some(to_name), ChangeKind::Removed, woken);
        }
        target.record(Some(to_name), ChangeKind::Added, woken);
        Ok(())
    }

    /// Swaps source and target.
    fn exchange(
        &self,
        target: &Held,
        namespace: &mut Namespace,
        woken: &mut Woken,
    ) -> Result<(), Status> {
        let source = &self.source;
        let gain = source.links_up() - target.links_up();
        for (old, old_end, new, new_end, gain) in [
            (source, self.from, target, self.to, -gain),
            (target, self.to, source, self.from, gain),
        ] {
            // `new`, so far at `new_end`, takes the place of `old` at `old_end`.
            let (directory, name) = old_end;
            let entries = namespace.directory_mut(directory)?;
            entries.replace(old.cookie, Arc::clone(&new.node));
            entries.record(Some(name), ChangeKind::Removed, woken);
            entries.record(Some(name), ChangeKind::Added, woken);
            new.node.moved(new.at(new_end), old.at(old_end), self.now);
            if new.node.is_directory() {
                namespace.set_parent(new.node.number(), directory.number(), woken);
            }
            directory.entries_changed(gain, self.now);
        }
        Ok(())
    }
}
