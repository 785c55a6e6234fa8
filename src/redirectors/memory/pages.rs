//! Sparse content of a regular file: pages by index. What is not there is a hole and reads as
//! zeros.
//!
//! Plain data without locks, limits or times. Whoever calls has made room for the pages that will
//! be [`Pages::missing`], and gives back the room of those that a call says it freed. Ranges are in
//! bytes and end at most at [`FILE_BYTES_MAX`].

use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a page: the unit of allocation, of holes and of the space limit.
pub(super) const PAGE_BYTES: u64 = 4096;
/// The same, for indexing.
const PAGE_LENGTH: usize = 4096;
/// Largest file, in bytes: the largest `off_t`.
pub(super) const FILE_BYTES_MAX: u64 = i64::MAX as u64;

type Page = Box<[u8; PAGE_LENGTH]>;

/// A file's content. Bytes at and after the size are zero in every page there is.
#[derive(Debug, Default)]
pub(super) struct Pages {
    size: u64,
    /// `None` is allocated and not written (`fallocate`): it has room and reads as zeros.
    pages: BTreeMap<u64, Option<Page>>,
}

/// Cuts a byte range into its parts of single pages: index, and bytes within the page.
fn parts(range: &Range<u64>) -> impl Iterator<Item = (u64, Range<usize>)> {
    let Range { start, end } = *range;
    touched(range).map(move |index| {
        let base = index * PAGE_BYTES;
        let from = start.max(base) - base;
        let to = end.min(base + PAGE_BYTES) - base;
        (index, from as usize..to as usize)
    })
}

/// Pages a byte range lies in, if only partly.
fn touched(range: &Range<u64>) -> Range<u64> {
    if range.is_empty() {
        return 0..0;
    }
    range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES)
}

/// Pages a byte range covers entirely.
fn covered(range: &Range<u64>) -> Range<u64> {
    let first = range.start.div_ceil(PAGE_BYTES);
    first..(range.end / PAGE_BYTES).max(first)
}

/// A page holding exactly these bytes.
fn page(bytes: Box<[u8]>) -> Page {
    bytes.try_into().expect("a page's bytes are as many as a page has")
}

impl Pages {
    /// The file's size in bytes.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Pages that take up room.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Pages in a range that take up no room yet.
    pub(super) fn missing(&self, range: &Range<u64>) -> u64 {
        let touched = touched(range);
        touched.end - touched.start - self.pages.range(touched).count() as u64
    }

    /// How far into a range one can write if only so many pages can be added.
    pub(super) fn reach(&self, range: &Range<u64>, pages: u64) -> u64 {
        touched(range)
            .filter(|index| !self.pages.contains_key(index))
            .nth(usize::try_from(pages).unwrap_or(usize::MAX))
            .map_or(range.end, |index| range.start.max(index * PAGE_BYTES))
    }

    /// Appends to `into` what is at `offset`: `length` bytes, fewer only at the end of the file.
    pub(super) fn read(&self, offset: u64, length: usize, into: &mut Vec<u8>) {
        let range = offset..self.size.min(offset.saturating_add(length as u64));
        if range.is_empty() {
            return;
        }
        into.reserve((range.end - range.start) as usize);
        for (index, part) in parts(&range) {
            match self.pages.get(&index) {
                Some(Some(page)) => into.extend_from_slice(&page[part]),
                Some(None) | None => into.resize(into.len() + part.len(), 0),
            }
        }
    }

    /// Puts data at `offset`, which may be beyond the end.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let range = offset..offset + data.len() as u64;
        let mut rest = data;
        for (index, part) in parts(&range) {
            let (bytes, later) = rest.split_at(part.len());
            rest = later;
            match self.pages.entry(index).or_default() {
                Some(page) => page[part].copy_from_slice(bytes),
                empty if part.len() == PAGE_LENGTH => *empty = Some(page(bytes.into())),
                empty => {
                    let zeros = page(vec![0; PAGE_LENGTH].into_boxed_slice());
                    empty.insert(zeros)[part].copy_from_slice(bytes);
                }
            }
        }
        self.grow(range.end);
    }

    /// Makes the file at least this long; what is added is a hole.
    pub(super) fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// Cuts or extends the file to a size. Pages beyond go, also those allocated ahead. Returns
    /// pages freed.
    pub(super) fn set_size(&mut self, size: u64) -> u64 {
        let mut freed = 0;
        if size <= self.size {
            freed = self.free(size.div_ceil(PAGE_BYTES)..u64::MAX);
            self.clear(&(size..size.next_multiple_of(PAGE_BYTES)));
        }
        self.size = size;
        freed
    }

    /// Takes up room for a range without writing to it.
    pub(super) fn allocate(&mut self, range: &Range<u64>) {
        for index in touched(range) {
            self.pages.entry(index).or_default();
        }
    }

    /// Makes a range a hole as far as it covers pages, zeros elsewhere. Returns pages freed.
    pub(super) fn punch(&mut self, range: &Range<u64>) -> u64 {
        let freed = self.free(covered(range));
        self.clear(range);
        freed
    }

    /// Makes a range zeros that take up room.
    pub(super) fn zero(&mut self, range: &Range<u64>) {
        self.allocate(range);
        for (_, slot) in self.pages.range_mut(covered(range)) {
            *slot = None;
        }
        self.clear(range);
    }

    /// Takes a range of entire pages out of the file; what was behind moves up. Returns pages
    /// freed.
    pub(super) fn collapse(&mut self, range: &Range<u64>) -> u64 {
        let gone = covered(range);
        let freed = self.free(gone.clone());
        let tail = self.pages.split_off(&gone.end);
        let by = gone.end - gone.start;
        self.pages.extend(tail.into_iter().map(|(index, page)| (index - by, page)));
        self.size -= range.end - range.start;
        freed
    }

    /// Puts a hole of entire pages into the file; what was behind moves down.
    pub(super) fn insert(&mut self, range: &Range<u64>) {
        let new = covered(range);
        let tail = self.pages.split_off(&new.start);
        let by = new.end - new.start;
        self.pages.extend(tail.into_iter().map(|(index, page)| (index + by, page)));
        self.size += range.end - range.start;
    }

    /// The first written byte at or after `offset`, if there is one before the end.
    pub(super) fn next_data(&self, offset: u64) -> Option<u64> {
        let (index, _) =
            self.pages.range(offset / PAGE_BYTES..).find(|(_, page)| page.is_some())?;
        Some(offset.max(index * PAGE_BYTES)).filter(|&at| at < self.size)
    }

    /// The first byte at or after `offset` that was never written, if `offset` is before the end.
    /// The end is one.
    pub(super) fn next_hole(&self, offset: u64) -> Option<u64> {
        if offset >= self.size {
            return None;
        }
        let first = offset / PAGE_BYTES;
        let written = self.pages.range(first..).zip(first..);
        let run = written.take_while(|&((&at, page), index)| at == index && page.is_some()).count();
        Some(offset.max((first + run as u64) * PAGE_BYTES).min(self.size))
    }

    fn free(&mut self, indexes: Range<u64>) -> u64 {
        self.pages.extract_if(indexes, |_, _| true).count() as u64
    }

    /// Zeroes the parts of a range that lie in pages it does not cover.
    fn clear(&mut self, range: &Range<u64>) {
        let covered = covered(range);
        let touched = touched(range);
        for edge in [touched.start, touched.end.saturating_sub(1)] {
            if covered.contains(&edge) {
                continue;
            }
            let base = edge * PAGE_BYTES;
            let part = range.start.max(base)..range.end.min(base.saturating_add(PAGE_BYTES));
            if let Some(Some(page)) = self.pages.get_mut(&edge)
                && !part.is_empty()
            {
                page[(part.start - base) as usize..(part.end - base) as usize].fill(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        SetSize(u64),
        Allocate(Range<u64>),
        Punch(Range<u64>),
        Zero(Range<u64>),
        Collapse(Range<u64>),
        Insert(Range<u64>),
    }

    const SIZE_MAX: u64 = 8 * PAGE_BYTES;

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..SIZE_MAX, 1..SIZE_MAX).prop_map(|(start, length)| start..start + length)
    }

    fn page_range() -> impl Strategy<Value = Range<u64>> {
        (0..8_u64, 1..4_u64)
            .prop_map(|(start, pages)| start * PAGE_BYTES..(start + pages) * PAGE_BYTES)
    }

    fn step() -> impl Strategy<Value = Step> {
        let data = prop::collection::vec(1..=255_u8, 1..3 * PAGE_LENGTH);
        prop_oneof![
            4 => (0..SIZE_MAX, data).prop_map(|(offset, data)| Step::Write(offset, data)),
            2 => (0..SIZE_MAX).prop_map(Step::SetSize),
            1 => range().prop_map(Step::Allocate),
            2 => range().prop_map(Step::Punch),
            1 => range().prop_map(Step::Zero),
            1 => page_range().prop_map(Step::Collapse),
            1 => page_range().prop_map(Step::Insert),
        ]
    }

    /// The same step on plain bytes. Allocating and zeroing here keep the size.
    fn model(bytes: &mut Vec<u8>, step: &Step) {
        match step {
            Step::Write(offset, data) => {
                let end = *offset as usize + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*offset as usize..end].copy_from_slice(data);
            }
            Step::SetSize(size) => bytes.resize(*size as usize, 0),
            Step::Allocate(_) => {}
            Step::Punch(range) | Step::Zero(range) => {
                let end = bytes.len().min(range.end as usize);
                let start = end.min(range.start as usize);
                bytes[start..end].fill(0);
            }
            Step::Collapse(range) => drop(bytes.drain(range.start as usize..range.end as usize)),
            Step::Insert(range) => {
                let zeros = std::iter::repeat_n(0, (range.end - range.start) as usize);
                bytes.splice(range.start as usize..range.start as usize, zeros);
            }
        }
    }

    /// Applies a step where fallocate would allow it; returns pages taken less pages given.
    fn apply(pages: &mut Pages, step: &Step) -> Option<i64> {
        let mut taken = 0;
        let mut freed = 0;
        match step {
            Step::Write(offset, data) => {
                taken = pages.missing(&(*offset..offset + data.len() as u64));
                pages.write(*offset, data);
            }
            Step::SetSize(size) => freed = pages.set_size(*size),
            Step::Allocate(range) => {
                taken = pages.missing(range);
                pages.allocate(range);
            }
            Step::Punch(range) => freed = pages.punch(range),
            Step::Zero(range) => {
                taken = pages.missing(range);
                pages.zero(range);
            }
            Step::Collapse(range) if range.end < pages.size() => freed = pages.collapse(range),
            Step::Insert(range) if range.start < pages.size() => pages.insert(range),
            Step::Collapse(_) | Step::Insert(_) => return None,
        }
        Some(taken as i64 - freed as i64)
    }

    fn check(pages: &Pages, bytes: &[u8]) {
        let mut read = Vec::new();
        pages.read(0, usize::MAX, &mut read);
        assert!(read == bytes, "content differs");
        for from in (0..bytes.len()).step_by(777) {
            let offset = from as u64;
            let data = pages.next_data(offset).map_or(bytes.len(), |at| at as usize);
            assert!(bytes[from..data].iter().all(|&byte| byte == 0), "data called a hole");
            let hole = pages.next_hole(offset).expect("before the end") as usize;
            assert!(hole <= bytes.len() && (hole == from || data == from), "neither data nor hole");
        }
        assert_eq!(pages.next_hole(bytes.len() as u64), None);
        assert_eq!(pages.next_data(bytes.len() as u64), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn behaves_like_plain_bytes(steps in prop::collection::vec(step(), 1..24)) {
            let mut pages = Pages::default();
            let mut bytes = Vec::new();
            let mut allocated = 0;
            for step in &steps {
                if let Some(balance) = apply(&mut pages, step) {
                    model(&mut bytes, step);
                    allocated += balance;
                }
                check(&pages, &bytes);
                prop_assert_eq!(pages.allocated() as i64, allocated, "room was lost: {:?}", step);
            }
            prop_assert_eq!(pages.set_size(0) as i64, allocated);
        }
    }

    #[test]
    fn holes_cost_nothing_however_large() {
        let mut pages = Pages::default();
        pages.write(FILE_BYTES_MAX - 1, b"x");
        assert_eq!((pages.size(), pages.allocated()), (FILE_BYTES_MAX, 1));
        assert_eq!(pages.next_data(0), Some((FILE_BYTES_MAX - 1) / PAGE_BYTES * PAGE_BYTES));
        assert_eq!(pages.next_hole(0), Some(0));
        assert_eq!(pages.set_size(0), 1);
    }

    #[test]
    fn reach_stops_where_the_room_ends() {
        let mut pages = Pages::default();
        pages.write(PAGE_BYTES, b"second page");
        let range = 100..4 * PAGE_BYTES;
        assert_eq!(pages.missing(&range), 3);
        assert_eq!(pages.reach(&range, 0), 100);
        assert_eq!(pages.reach(&range, 1), 2 * PAGE_BYTES);
        assert_eq!(pages.reach(&range, 3), range.end);
    }

    #[test]
    fn allocated_and_unwritten_is_a_hole_that_takes_room() {
        let mut pages = Pages::default();
        pages.allocate(&(0..3 * PAGE_BYTES));
        pages.grow(3 * PAGE_BYTES);
        assert_eq!(pages.allocated(), 3);
        assert_eq!(pages.next_data(0), None);
        pages.write(PAGE_BYTES, b"x");
        assert_eq!((pages.next_data(0), pages.next_hole(PAGE_BYTES)), (Some(4096), Some(8192)));
    }
}
