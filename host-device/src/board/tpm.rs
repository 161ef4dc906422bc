//! The generator of a TPM, over the kernel's resource manager `/dev/tpmrm0`.
//!
//! One command is used, `TPM2_GetRandom` without sessions (TPM 2.0 Library, part 3, section "TPM2_GetRandom"; the frame
//! is that of part 1, section "Command/Response Structure"). The resource manager gives each program a space of its own,
//! so nothing of other programs' is disturbed. Whoever sits on the wires between processor and TPM reads the answer;
//! he has opened the box, and the box's flash with its keys lies beside them.

use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};

use crate::board::SampleError;
use crate::board::special_file::{SpecialFile, SpecialFileError};

/// A TPM.
#[derive(Debug)]
pub(super) struct Tpm(SpecialFile);

/// What is wrong with an answer of a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum AnswerError {
    /// It is busy with itself.
    #[error("the TPM is busy (response code {code:#x})")]
    Busy { code: u32 },
    /// It refuses.
    #[error("the TPM refuses TPM2_GetRandom with response code {code:#x}")]
    Refused { code: u32 },
    /// It is no answer to the command.
    #[error("the TPM's answer of {got} bytes is no answer to TPM2_GetRandom: {problem}")]
    Malformed { got: usize, problem: &'static str },
}

impl Tpm {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`SpecialFileError`].
    pub(super) fn open(path: &Path) -> Result<Self, SpecialFileError> {
        SpecialFile::open(path, true).map(Self)
    }

    /// Up to `len` bytes, at most two answers' worth.
    ///
    /// # Errors
    ///
    /// [`SampleError::NotReady`] while the TPM works: its answer is there the next time.
    pub(super) fn sample(&self, len: usize) -> Result<Vec<u8>, SampleError> {
        let mut bytes = Vec::new();
        for _ in 0..MAX_ANSWERS {
            if bytes.len() >= len {
                break;
            }
            match self.random() {
                Ok(random) => bytes.extend_from_slice(&random),
                Err(SampleError::NotReady) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(len);
        Ok(bytes)
    }

    fn random(&self) -> Result<Vec<u8>, SampleError> {
        let unhealthy = |reason| SampleError::Unhealthy { reason };
        // An answer that was late for the last sample has been given to nobody, and is as good as a new one.
        if !self.has_answer(AT_ONCE)? {
            match write(&self.0.file, &COMMAND) {
                // BUSY: the last command is still being worked on.
                Ok(COMMAND_LEN) | Err(Errno::BUSY | Errno::AGAIN) => {}
                Ok(taken) => {
                    let all = COMMAND_LEN;
                    return Err(unhealthy(format!(
                        "the TPM took {taken} bytes of a command of {all}"
                    )));
                }
                Err(Errno::INTR) => return Err(SampleError::NotReady),
                Err(error) => {
                    return Err(unhealthy(format!("sending to the TPM failed: {error}")));
                }
            }
            if !self.has_answer(PATIENCE)? {
                return Err(SampleError::NotReady);
            }
        }
        let mut answer = [0; MAX_ANSWER];
        let got = match read(&self.0.file, &mut answer[..]) {
            Ok(got) => got,
            Err(Errno::AGAIN | Errno::INTR) => return Err(SampleError::NotReady),
            Err(error) => return Err(unhealthy(format!("reading from the TPM failed: {error}"))),
        };
        match random_of(&answer[..got]) {
            Ok(random) => Ok(random.to_vec()),
            Err(AnswerError::Busy { .. }) => Err(SampleError::NotReady),
            Err(error @ (AnswerError::Refused { .. } | AnswerError::Malformed { .. })) => {
                Err(unhealthy(error.to_string()))
            }
        }
    }

    fn has_answer(&self, patience: Timespec) -> Result<bool, SampleError> {
        let mut waited = [PollFd::new(&self.0.file, PollFlags::IN)];
        match poll(&mut waited, Some(&patience)) {
            Ok(count) => Ok(count > 0),
            Err(Errno::INTR | Errno::AGAIN) => Ok(false),
            Err(error) => Err(SampleError::Unhealthy {
                reason: format!("waiting for the TPM failed: {error}"),
            }),
        }
    }
}

/// The random bytes of an answer to [`COMMAND`]: at least one, at most as many as were asked for.
fn random_of(answer: &[u8]) -> Result<&[u8], AnswerError> {
    let malformed = |problem| AnswerError::Malformed {
        got: answer.len(),
        problem,
    };
    let (tag, rest) = answer
        .split_first_chunk()
        .ok_or(malformed("it is too short"))?;
    let (size, rest) = rest
        .split_first_chunk()
        .ok_or(malformed("it is too short"))?;
    let (code, body) = rest
        .split_first_chunk()
        .ok_or(malformed("it is too short"))?;
    if usize::try_from(u32::from_be_bytes(*size)) != Ok(answer.len()) {
        return Err(malformed("its size is not what it says"));
    }
    match u32::from_be_bytes(*code) {
        0 => {}
        code if BUSY.contains(&code) => return Err(AnswerError::Busy { code }),
        code => return Err(AnswerError::Refused { code }),
    }
    if *tag != NO_SESSIONS {
        return Err(malformed("its tag is not TPM_ST_NO_SESSIONS"));
    }
    let (count, random) = body
        .split_first_chunk()
        .ok_or(malformed("it is too short"))?;
    if usize::from(u16::from_be_bytes(*count)) != random.len() {
        return Err(malformed("its bytes are not as many as it says"));
    }
    if random.is_empty() || random.len() > usize::from(ASKED) {
        return Err(malformed(
            "it has no random bytes, or more than were asked for",
        ));
    }
    Ok(random)
}

/// Random bytes asked for at once: a TPM gives no more than its longest digest has, and each has SHA-256.
const ASKED: u16 = 32;
/// `TPM_ST_NO_SESSIONS`.
const NO_SESSIONS: [u8; 2] = [0x80, 0x01];
const COMMAND_LEN: usize = 12;
/// Tag, size, `TPM_CC_GetRandom`, bytes asked for.
const COMMAND: [u8; COMMAND_LEN] = {
    let [high, low] = ASKED.to_be_bytes();
    [0x80, 0x01, 0, 0, 0, 0x0c, 0x00, 0x00, 0x01, 0x7b, high, low]
};
/// `TPM_RC_YIELDED`, `TPM_RC_CANCELED`, `TPM_RC_TESTING`, `TPM_RC_RETRY`: the same command may pass later.
const BUSY: [u32; 4] = [0x908, 0x909, 0x90a, 0x922];
/// As much as the kernel's driver ever gives; a longer answer than the right one must be seen to be one.
const MAX_ANSWER: usize = 4096;
/// The machine compares 32 bytes with the 32 before: two answers let it do so at once.
const MAX_ANSWERS: usize = 2;
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// A TPM takes some milliseconds for 32 bytes; what takes longer is fetched with the next sample.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn two_answers_make_a_sample_and_each_is_asked_for() {
        let (tpm, chip) = tpm();
        // Both answers are there before they are asked for, as those of late commands are.
        write(&chip, &answer(0, &[1; 32])).unwrap();
        write(&chip, &answer(0, &[2; 32])).unwrap();
        assert_eq!(tpm.sample(64).unwrap(), [[1; 32], [2; 32]].concat());
        assert!(matches!(tpm.sample(64), Err(SampleError::NotReady)));
        assert_eq!(command(&chip), COMMAND);
        // It comes late, is short, and is cut to what is wanted.
        write(&chip, &answer(0, &[3; 20])).unwrap();
        assert_eq!(tpm.sample(16).unwrap(), [3; 16]);
        // A chip that answers once in time is asked again for the second half, which does not come in time.
        write(&chip, &answer(0, &[4; 32])).unwrap();
        assert_eq!(tpm.sample(64).unwrap(), [4; 32]);
        assert_eq!(command(&chip), COMMAND);
    }

    #[test]
    fn the_command_is_what_the_standard_says() {
        // TPM_ST_NO_SESSIONS, 12 bytes, TPM_CC_GetRandom, 32 bytes.
        let bytes = [0x80, 1, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 32];
        assert_eq!(COMMAND, bytes);
    }

    #[test]
    fn only_a_whole_answer_to_this_command_is_taken() {
        let good = answer(0, &[9; 32]);
        assert_eq!(random_of(&good), Ok(&[9; 32][..]));
        for len in 0..good.len() {
            let cut = random_of(&good[..len]);
            assert!(matches!(cut, Err(AnswerError::Malformed { .. })), "{len}");
        }
        for (wrong, says) in [
            ([&good[..], &[0]].concat(), "its size is not what it says"),
            (answer(0, &[]), "no random bytes"),
            (answer(0, &[9; 33]), "more than were asked for"),
            ([&[0x80, 0x02], &good[2..]].concat(), "TPM_ST_NO_SESSIONS"),
            (
                [&good[..11], &[31], &good[12..]].concat(),
                "not as many as it says",
            ),
            (answer(0x101, &[]), "response code 0x101"),
        ] {
            let error = random_of(&wrong).unwrap_err().to_string();
            assert!(error.contains(says), "{says}: {error}");
        }
        // An error has nothing after the code, and the tag of an old TPM where it is TPM_RC_BAD_TAG.
        assert_eq!(
            random_of(&[0x00, 0xc4, 0, 0, 0, 10, 0, 0, 0, 0x1e]),
            Err(AnswerError::Refused { code: 0x1e })
        );
    }

    #[test]
    fn a_busy_tpm_is_asked_again_and_a_broken_one_is_unhealthy() {
        let (tpm, chip) = tpm();
        write(&chip, &[0x80, 1, 0, 0, 0, 10, 0, 0, 0x09, 0x22]).unwrap();
        assert!(matches!(tpm.sample(64), Err(SampleError::NotReady)));
        write(&chip, &[0x80, 1, 0, 0, 0, 10, 0, 0, 0x01, 0x01]).unwrap();
        let refused = tpm.sample(64).unwrap_err().to_string();
        assert!(refused.contains("refuses TPM2_GetRandom"), "{refused}");
        drop(chip);
        let gone = tpm.sample(64).unwrap_err();
        assert!(matches!(gone, SampleError::Unhealthy { .. }), "{gone}");
    }

    /// A TPM over a real descriptor, and its other end: one message a write, as the kernel's driver has it.
    fn tpm() -> (Tpm, OwnedFd) {
        let (ours, chip) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::NONBLOCK,
            None,
        )
        .unwrap();
        let special = SpecialFile {
            file: File::from(ours),
            is_pipe: false,
        };
        (Tpm(special), chip)
    }

    fn command(chip: &OwnedFd) -> Vec<u8> {
        let mut bytes = [0; 64];
        let got = read(chip, &mut bytes[..]).unwrap();
        bytes[..got].to_vec()
    }

    fn answer(code: u32, random: &[u8]) -> Vec<u8> {
        let body = [&u16::try_from(random.len()).unwrap().to_be_bytes(), random].concat();
        let body = if code == 0 { body } else { Vec::new() };
        let size = u32::try_from(10 + body.len()).unwrap();
        [
            &NO_SESSIONS,
            &size.to_be_bytes()[..],
            &code.to_be_bytes(),
            &body,
        ]
        .concat()
    }
}
