//! What keeps lost data, as a share's device sees it: the losses of all shares are kept together.

use crate::base::ids::LossNumber;
use crate::rdbss::notice::{Kept, LossKeeper, LostWrite};
use crate::rdbss::objects::number_space::Tag;
use std::sync::Arc;
use std::time::Duration;

/// The keeper of one share.
pub struct ShareKeeper {
    /// Every device counts its losses from 1.
    pub tag: Tag,
    /// What keeps them all.
    pub keeper: Arc<dyn LossKeeper>,
}

impl ShareKeeper {
    fn number(&self, number: LossNumber) -> LossNumber {
        self.tag.loss(number)
    }
}

impl LossKeeper for ShareKeeper {
    fn keep(&self, number: LossNumber, lost: LostWrite) {
        self.keeper.keep(self.number(number), lost);
    }

    fn arrived(&self, number: LossNumber) {
        self.keeper.arrived(self.number(number));
    }

    fn settle(&self, limit: Duration) -> bool {
        self.keeper.settle(limit)
    }

    fn kept(&self, number: LossNumber) -> Kept {
        self.keeper.kept(self.number(number))
    }
}
