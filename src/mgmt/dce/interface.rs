//! The five operations of the remote management interface as types: what a request's operands mean,
//! and how results are written. Pure.
//!
//! The numbers of the operations on the wire are DCE's. Windows hands other numbers to an
//! authorisation function for the same operations; [`Operation`] is what both mean.

use crate::mgmt::authz::Operation;
use crate::mgmt::dce::ndr::{ByteOrder, Reader, Writer};
use crate::mgmt::dce::pdu::fault;
use crate::mgmt::dce::syntax::Syntax;
use crate::mgmt::rpc::status::RpcStatus;

/// The numbers an `inq_stats` knows, in their order.
pub const STATISTICS: usize = 4;

/// One call of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Management {
    /// `inq_if_ids`: which interfaces are there?
    Interfaces,
    /// `inq_stats`: calls and messages so far; at most so many numbers.
    Statistics {
        /// Numbers asked for.
        count: u32,
    },
    /// `is_server_listening`.
    IsListening,
    /// `stop_server_listening`.
    StopListening,
    /// `inq_princ_name`: as whom is the server authenticated?
    Principal {
        /// The longest name the caller takes, its NUL included.
        size: u32,
    },
}

/// What a call results in. Every answer ends with, or is, a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The interfaces.
    Interfaces(Vec<Syntax>, RpcStatus),
    /// The numbers: calls in, calls out, messages in, messages out.
    Statistics(Vec<u32>, RpcStatus),
    /// Does it listen?
    IsListening(RpcStatus),
    /// Was it stopped?
    StopListening(RpcStatus),
    /// There is no name; the size that was asked for.
    Principal(u32, RpcStatus),
}

/// What the operation of this number is; none: there is no such operation.
#[must_use]
pub const fn operation(number: u16) -> Option<Operation> {
    match number {
        0 => Some(Operation::RpcInterfaces),
        1 => Some(Operation::RpcStatistics),
        2 => Some(Operation::RpcIsListening),
        3 => Some(Operation::RpcStopListening),
        4 => Some(Operation::RpcPrincipal),
        _ => None,
    }
}

/// The number by which Windows asks its authorisation function about an operation; none: it does
/// not.
#[must_use]
pub const fn windows_number(operation: Operation) -> Option<u32> {
    match operation {
        Operation::RpcInterfaces => Some(0),
        Operation::RpcPrincipal => Some(1),
        Operation::RpcStatistics => Some(2),
        Operation::RpcIsListening => Some(3),
        Operation::RpcStopListening => Some(4),
        Operation::Inquire
        | Operation::Read
        | Operation::RpcListen
        | Operation::Stop
        | Operation::Abort
        | Operation::Detach
        | Operation::Start
        | Operation::Pause
        | Operation::Resume
        | Operation::ChangeProviders
        | Operation::Settle => None,
    }
}

impl Management {
    /// Reads the operands of the operation of this number.
    ///
    /// # Errors
    /// The status of the fault: there is no such operation, or its operands make no sense.
    pub fn read(number: u16, order: ByteOrder, stub: &[u8]) -> Result<Self, u32> {
        let mut reader = Reader::new(stub, order);
        let mut word = || reader.u32().map_err(|_| fault::BAD_STUB_DATA);
        match number {
            0 => Ok(Self::Interfaces),
            // One IDL has a second number behind it, another has not: what is behind is not read.
            1 => Ok(Self::Statistics { count: word()? }),
            2 => Ok(Self::IsListening),
            3 => Ok(Self::StopListening),
            4 => {
                let _authentication = word()?;
                match word()? {
                    0 => Err(fault::BAD_STUB_DATA),
                    size => Ok(Self::Principal { size }),
                }
            }
            _ => Err(fault::NO_OPERATION),
        }
    }

    /// What it asks for.
    #[must_use]
    pub const fn operation(self) -> Operation {
        match self {
            Self::Interfaces => Operation::RpcInterfaces,
            Self::Statistics { .. } => Operation::RpcStatistics,
            Self::IsListening => Operation::RpcIsListening,
            Self::StopListening => Operation::RpcStopListening,
            Self::Principal { .. } => Operation::RpcPrincipal,
        }
    }

    /// The answer that it is denied: a status, never a fault. It tells nothing.
    #[must_use]
    pub const fn denied(self) -> Answer {
        let status = RpcStatus::AccessDenied;
        match self {
            Self::Interfaces => Answer::Interfaces(Vec::new(), status),
            Self::Statistics { .. } => Answer::Statistics(Vec::new(), status),
            Self::IsListening => Answer::IsListening(status),
            Self::StopListening => Answer::StopListening(status),
            Self::Principal { size } => Answer::Principal(size, status),
        }
    }
}

/// A pointer that is not null: only that it is not 0 has a meaning.
const REFERENT: u32 = 0x0002_0000;

impl Answer {
    /// The results on the wire.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new(ByteOrder::Little);
        match self {
            Self::Interfaces(interfaces, status) => {
                write_interfaces(&mut writer, interfaces);
                writer.u32(status.code());
            }
            Self::Statistics(numbers, status) => {
                let count = length(numbers.len());
                writer.u32(count);
                writer.u32(count);
                numbers.iter().for_each(|number| writer.u32(*number));
                writer.u32(status.code());
            }
            Self::IsListening(status) => {
                writer.u32(status.code());
                writer.u32(u32::from(*status == RpcStatus::Ok));
            }
            Self::StopListening(status) => writer.u32(status.code()),
            Self::Principal(size, status) => {
                // A varying string: room for so many bytes, of which from 0 on there is one, a NUL.
                writer.u32(*size);
                writer.u32(0);
                writer.u32(1);
                writer.u8(0);
                writer.u32(status.code());
            }
        }
        writer.finish()
    }
}

/// A pointer to a vector of pointers to what an interface is called.
fn write_interfaces(writer: &mut Writer, interfaces: &[Syntax]) {
    if interfaces.is_empty() {
        return writer.u32(0);
    }
    writer.u32(REFERENT);
    let count = length(interfaces.len());
    writer.u32(count);
    writer.u32(count);
    for at in 1..=count {
        writer.u32(REFERENT + 4 * at);
    }
    interfaces.iter().for_each(|interface| interface.write(writer));
}

fn length(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mgmt::dce::syntax::MANAGEMENT;

    /// The two numberings differ, and `stop` is 3 in one and 4 in the other: the policy must not
    /// know either.
    #[test]
    fn both_numberings_mean_the_same_operations() {
        for (number, windows, operation) in [
            (0, 0, Operation::RpcInterfaces),
            (1, 2, Operation::RpcStatistics),
            (2, 3, Operation::RpcIsListening),
            (3, 4, Operation::RpcStopListening),
            (4, 1, Operation::RpcPrincipal),
        ] {
            assert_eq!(super::operation(number), Some(operation));
            assert_eq!(windows_number(operation), Some(windows));
            let read = Management::read(number, ByteOrder::Little, &[1, 0, 0, 0, 1, 0, 0, 0]);
            assert_eq!(read.map(Management::operation), Ok(operation));
        }
        assert_eq!(super::operation(5), None, "idle timeouts are not in the standard");
        assert_eq!(windows_number(Operation::Stop), None);
    }

    #[test]
    fn operands_are_read_in_both_orders_and_never_believed() {
        let read = Management::read;
        assert_eq!(
            read(1, ByteOrder::Big, &[0, 0, 0, 4]),
            Ok(Management::Statistics { count: 4 }),
            "impacket sends one number"
        );
        assert_eq!(
            read(1, ByteOrder::Little, &[4, 0, 0, 0, 0, 0, 0, 0]),
            Ok(Management::Statistics { count: 4 }),
            "Samba sends two"
        );
        let little = ByteOrder::Little;
        assert_eq!(read(1, little, &[4, 0, 0]), Err(fault::BAD_STUB_DATA));
        assert_eq!(read(4, little, &[0, 0, 0, 0]), Err(fault::BAD_STUB_DATA));
        assert_eq!(read(4, little, &[0; 8]), Err(fault::BAD_STUB_DATA), "no room for a NUL");
        assert_eq!(read(5, little, &[]), Err(fault::NO_OPERATION));
        assert_eq!(read(0, little, &[1; 99]), Ok(Management::Interfaces));
    }

    #[test]
    fn answers_are_what_the_documents_say() {
        let ok = RpcStatus::Ok;
        assert_eq!(Answer::IsListening(ok).write(), [0, 0, 0, 0, 1, 0, 0, 0]);
        let not = Answer::IsListening(RpcStatus::NotListening).write();
        assert_eq!(not, [0xb3, 6, 0, 0, 0, 0, 0, 0], "1715 and false");
        assert_eq!(Management::StopListening.denied().write(), [5, 0, 0, 0]);
        let numbers = Answer::Statistics(vec![1, 0, 3, 2], ok).write();
        let words: Vec<u32> = numbers
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes(word.try_into().expect("4")))
            .collect();
        assert_eq!(words, [4, 4, 1, 0, 3, 2, 0]);
        let principal = Answer::Principal(0xffff_ffff, RpcStatus::UnknownAuthenticationService);
        let expected = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xd3, 6, 0, 0];
        assert_eq!(principal.write(), expected, "a size is a number, not an allocation");
        let one = Answer::Interfaces(vec![MANAGEMENT], ok).write();
        assert_eq!(one.len(), 4 + 4 + 4 + 4 + 20 + 4);
        assert_eq!(one[32..36], [1, 0, 0, 0], "version 1.0: two halves, the major one first");
        assert_eq!(Management::Interfaces.denied().write(), [0, 0, 0, 0, 5, 0, 0, 0]);
    }
}
