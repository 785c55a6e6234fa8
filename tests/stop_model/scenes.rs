//! The scenes: who calls what, who holds what, and what goes wrong. Each says what some history of
//! it leads to; between them they reach everything in `properties::REACHED`.

use crate::properties::{
    CANCELLED, FAILED, HAS_OPEN_HANDLES, LOST, PUT_OFF, RECLAIMED, START_CANCELLED, STARTED,
    STAYED, STOP_HANGS, STOPPED, SUCCESS, SURVIVOR_CLOSES, SURVIVOR_STAYS, TAKEN_BACK,
    THIRD_GENERATION, UNSEALED,
};
use crate::world::{Call, Op, STOP, Scene, stop_by};
use minirdr::base::stop::OnDeadline;

/// A named scene and what it must reach.
pub struct Checked {
    pub name: &'static str,
    pub scene: Scene,
    pub reached: &'static [&'static str],
}

const CLIENT: &[Op] = &[Op::Open, Op::Io, Op::Close];
const OPENER: &[Op] = &[Op::Open, Op::Close];
const FLUSHER: &[Op] = &[Op::Open, Op::Flush, Op::Io, Op::Close];
const BLOCKED: &[Op] = &[Op::Open, Op::Blocked, Op::Close];
const HUNG: &[Op] = &[Op::Open, Op::Hung, Op::Close];
const GRACE: Call = Call::Stop { grace: true, deadline: None };

/// Checked by every `cargo test`.
pub const SMALL: &[Checked] = &[
    Checked {
        name: "two stops and a start",
        scene: Scene {
            callers: &[&[STOP, Call::Start], &[STOP]],
            clients: &[CLIENT, OPENER],
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            FAILED,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            START_CANCELLED,
        ],
    },
    Checked {
        name: "a start is stopped",
        scene: Scene {
            callers: &[&[Call::Start, STOP], &[STOP, Call::Start]],
            clients: &[OPENER],
            started: false,
            mrx_start_may_fail: true,
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            STARTED,
            FAILED,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            START_CANCELLED,
        ],
    },
    Checked {
        name: "stop, start, stop against a start",
        scene: Scene {
            callers: &[&[STOP, Call::Start, STOP], &[Call::Start]],
            clients: &[CLIENT],
            reclaims: true,
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            STARTED,
            FAILED,
            THIRD_GENERATION,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            RECLAIMED,
            START_CANCELLED,
        ],
    },
    Checked {
        name: "a stop is taken back by resume",
        scene: Scene {
            callers: &[&[STOP, STOP], &[Call::Resume, GRACE]],
            clients: &[BLOCKED, OPENER],
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            TAKEN_BACK,
            PUT_OFF,
            SURVIVOR_CLOSES,
            CANCELLED,
        ],
    },
    Checked {
        name: "a deadline resumes, and a stop waits behind",
        scene: Scene {
            callers: &[&[stop_by(OnDeadline::Resume)], &[STOP, Call::Start]],
            clients: &[CLIENT, OPENER],
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            STARTED,
            TAKEN_BACK,
            FAILED,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            UNSEALED,
            START_CANCELLED,
        ],
    },
    Checked {
        name: "a server hangs and the deadline stays, cancels or aborts",
        scene: Scene {
            callers: &[
                &[stop_by(OnDeadline::Stay), stop_by(OnDeadline::Abort)],
                &[stop_by(OnDeadline::Cancel)],
            ],
            clients: &[HUNG, BLOCKED],
            mrx_stop_may_fail: true,
            mrx_stop_may_hang: true,
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            LOST,
            PUT_OFF,
            SURVIVOR_CLOSES,
            CANCELLED,
            STOP_HANGS,
            STAYED,
        ],
    },
    Checked {
        name: "a grace, a pause and a resume",
        scene: Scene {
            callers: &[&[GRACE, Call::Pause], &[STOP, Call::Resume]],
            clients: &[CLIENT, OPENER],
            ..Scene::QUIET
        },
        reached: &[SUCCESS, HAS_OPEN_HANDLES, STOPPED, TAKEN_BACK, PUT_OFF, SURVIVOR_CLOSES],
    },
    Checked {
        name: "survivors over two restarts",
        scene: Scene {
            callers: &[&[STOP, Call::Wait, Call::Start, Call::Wait, STOP, Call::Wait, Call::Start]],
            clients: &[FLUSHER, OPENER],
            reclaims: true,
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            THIRD_GENERATION,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            RECLAIMED,
        ],
    },
];

/// Checked when asked for: `MINIRDR_MODEL=large`.
pub const LARGE: &[Checked] = &[
    Checked {
        name: "three callers, a client",
        scene: Scene {
            callers: &[&[STOP, Call::Start, STOP], &[STOP], &[Call::Start, Call::Resume]],
            clients: &[OPENER],
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            STARTED,
            TAKEN_BACK,
            FAILED,
            THIRD_GENERATION,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            START_CANCELLED,
        ],
    },
    Checked {
        name: "three callers, two clients",
        scene: Scene {
            callers: &[&[STOP, Call::Start], &[STOP], &[Call::Start, Call::Resume]],
            clients: &[CLIENT, OPENER],
            ..Scene::QUIET
        },
        reached: &[
            SUCCESS,
            HAS_OPEN_HANDLES,
            STOPPED,
            STARTED,
            TAKEN_BACK,
            FAILED,
            THIRD_GENERATION,
            PUT_OFF,
            SURVIVOR_CLOSES,
            SURVIVOR_STAYS,
            START_CANCELLED,
        ],
    },
];
