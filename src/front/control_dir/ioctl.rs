//! The `ioctl` face of the `control` file: numbers, layout, and the command each stands for. Pure.
//!
//! docs/CONTROL-FILE.md has the C declaration; contrib/ioctl_stop.py is an example.

use crate::front::control_dir::device::ControlReply;

/// `sizeof(struct minirdr_control)`.
pub const ARGUMENT_BYTES: usize = 32;
/// `_IOWR('R', 0, struct minirdr_control)`; the command is in the lowest byte.
const BASE: u32 = (3 << 30) | ((ARGUMENT_BYTES as u32) << 16) | ((b'R' as u32) << 8);

/// What an ioctl asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlCode {
    /// MINIRDR_IOC_STOP.
    Stop,
    /// MINIRDR_IOC_START.
    Start,
    /// MINIRDR_IOC_PAUSE.
    Pause,
    /// MINIRDR_IOC_RESUME.
    Resume,
    /// MINIRDR_IOC_QUERY.
    Query,
}

impl ControlCode {
    /// From an ioctl's number; `None`: not ours (ENOTTY).
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            number if number == Self::Stop.number() => Some(Self::Stop),
            number if number == Self::Start.number() => Some(Self::Start),
            number if number == Self::Pause.number() => Some(Self::Pause),
            number if number == Self::Resume.number() => Some(Self::Resume),
            number if number == Self::Query.number() => Some(Self::Query),
            _ => None,
        }
    }

    /// The ioctl's number.
    #[must_use]
    pub const fn number(self) -> u32 {
        BASE | match self {
            Self::Stop => 1,
            Self::Start => 2,
            Self::Pause => 3,
            Self::Resume => 4,
            Self::Query => 5,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Query => "query",
        }
    }
}

/// MINIRDR_CHECK: what would a stop meet? Changes nothing.
const FLAG_CHECK: u32 = 0x1;
/// MINIRDR_UNMOUNT: unmount as step 7 of the stop.
const FLAG_UNMOUNT: u32 = 0x2;
/// MINIRDR_LAZY: unmount although somebody is inside.
const FLAG_LAZY: u32 = 0x4;
/// MINIRDR_IF_IDLE: stop only if no handle is open.
const FLAG_REFUSE_IF_BUSY: u32 = 0x8;

/// `struct minirdr_control`, as it is passed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// MINIRDR_* flags.
    pub flags: u32,
    /// For QUERY: which ticket; 0: the state of the device.
    pub ticket: u64,
    /// Milliseconds; 0: no deadline.
    pub deadline_ms: u32,
    /// Milliseconds; 0: no grace.
    pub grace_ms: u32,
}

impl Argument {
    /// Reads it; `None` when it is too short or a reserved field is not 0 (EINVAL).
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; ARGUMENT_BYTES] = bytes.get(..ARGUMENT_BYTES)?.try_into().ok()?;
        let word = |at: usize| {
            u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let argument = Self {
            flags: word(4),
            ticket: u64::from_ne_bytes(bytes[8..16].try_into().ok()?),
            deadline_ms: word(16),
            grace_ms: word(20),
        };
        let known = FLAG_CHECK | FLAG_UNMOUNT | FLAG_LAZY | FLAG_REFUSE_IF_BUSY;
        (argument.flags & !known == 0 && word(24) == 0 && word(28) == 0).then_some(argument)
    }

    /// The command in words, as it could be written to the file.
    #[must_use]
    pub fn command(&self, code: ControlCode) -> String {
        let mut text = code.word().to_owned();
        if code == ControlCode::Stop {
            for (flag, option) in [
                (FLAG_CHECK, " --check"),
                (FLAG_UNMOUNT, " --unmount"),
                (FLAG_LAZY, " --lazy"),
                (FLAG_REFUSE_IF_BUSY, " --refuse-if-busy"),
            ] {
                if self.flags & flag != 0 {
                    text.push_str(option);
                }
            }
            for (option, milliseconds) in
                [(" --deadline", self.deadline_ms), (" --grace", self.grace_ms)]
            {
                if milliseconds != 0 {
                    text.push_str(&format!("{option} {milliseconds}ms"));
                }
            }
        }
        if code == ControlCode::Query && self.ticket != 0 {
            text.push_str(&format!(" --ticket {}", self.ticket));
        }
        text
    }

    /// The same structure, passed out: status and ticket filled in.
    #[must_use]
    pub fn answer(&self, reply: &ControlReply) -> [u8; ARGUMENT_BYTES] {
        let mut bytes = [0; ARGUMENT_BYTES];
        bytes[0..4].copy_from_slice(&reply.status.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..16].copy_from_slice(&reply.ticket.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.deadline_ms.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.grace_ms.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of docs/CONTROL-FILE.md; programs are compiled with them.
    #[test]
    fn the_numbers_never_change() {
        let numbers = [
            (ControlCode::Stop, 0xc020_5201),
            (ControlCode::Start, 0xc020_5202),
            (ControlCode::Pause, 0xc020_5203),
            (ControlCode::Resume, 0xc020_5204),
            (ControlCode::Query, 0xc020_5205),
        ];
        for (code, number) in numbers {
            assert_eq!(code.number(), number);
            assert_eq!(ControlCode::from_number(number), Some(code));
        }
        assert_eq!(ControlCode::from_number(0xc020_5206), None);
        assert_eq!(ControlCode::from_number(0x5401), None, "TCGETS");
    }

    #[test]
    fn a_stop_says_its_options_in_words() {
        let argument = Argument { flags: 0xf, ticket: 9, deadline_ms: 1500, grace_ms: 10 };
        let words = argument.command(ControlCode::Stop);
        let wanted =
            "stop --check --unmount --lazy --refuse-if-busy --deadline 1500ms --grace 10ms";
        assert_eq!(words, wanted);
        assert_eq!(argument.command(ControlCode::Start), "start");
        assert_eq!(argument.command(ControlCode::Query), "query --ticket 9");
        assert_eq!(Argument::default().command(ControlCode::Query), "query");
    }

    #[test]
    fn what_goes_in_comes_out_with_status_and_ticket() {
        let argument = Argument { flags: 1, ticket: 0, deadline_ms: 2, grace_ms: 3 };
        let reply = ControlReply { status: 0x103, ticket: 7, text: String::new() };
        let bytes = argument.answer(&reply);
        assert_eq!(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]), 0x103);
        let wanted = Argument { flags: 1, ticket: 7, deadline_ms: 2, grace_ms: 3 };
        assert_eq!(Argument::parse(&bytes), Some(wanted));
        assert_eq!(Argument::parse(&bytes[..31]), None, "too short");
        let mut reserved = bytes;
        reserved[28] = 1;
        assert_eq!(Argument::parse(&reserved), None);
        let mut flags = bytes;
        flags[4] = 0x10;
        assert_eq!(Argument::parse(&flags), None, "a flag to come");
    }
}
