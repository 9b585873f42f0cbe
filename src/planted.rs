//! Bugs planted on purpose, to measure whoever looks for bugs.
//!
//! Each is a line at the place where it would be made, and none is there but with
//! the private cfg `parley_planted`: without it [`planted`] is a constant, and what
//! depends on it is no code. With it, one bug at a time is planted in the whole
//! process by `plant`.
//!
//! ```text
//! RUSTFLAGS="--cfg parley_planted" cargo test --release --features sim \
//!     --target-dir target/planted --test planted -- --nocapture
//! ```

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(
    not(parley_planted),
    expect(unreachable_pub, reason = "public where it is planted")
)]
#[repr(u8)]
pub enum Bug {
    /// Live messages are delivered while the archive is still read.
    LiveBeforeArchive = 1,
    /// What comes after a resumption is taken to come in its order.
    ResumedInOrder,
    /// A live message moves the cursor while the archive is still read.
    CursorRunsAhead,
    /// What the archive and the live stream both give is delivered twice.
    NoDedupe,
    /// Messages of our own nick are not delivered: dedupe by nick.
    DedupeByNick,
    /// A page shorter than what was asked for counts as the last.
    ShortPageIsLast,
    /// The position of a page is its first item, not its last.
    CursorIsFirst,
    /// After a break a subscription goes on live, without the archive.
    LiveAfterBreak,
    /// What comes while the reader takes nothing is dropped.
    FullMeansGone,
    /// What was in flight at a break is sent again unseen.
    ResendUnseen,
    /// What was in flight at a break is told as not sent.
    NotSentThoughSent,
    /// What was in flight at a break is told as committed.
    UnknownIsCommitted,
    /// The outcome of a post is told twice.
    OutcomeTwice,
    /// A post has no deadline.
    NoDeadline,
    /// The end of a stream is told twice.
    OfflineTwice,
    /// The end of a stream is not told.
    OfflineUntold,
    /// Rooms are not joined again after a break.
    NoRejoin,
    /// A refused login is tried again for ever.
    NeverIgnored,
    /// The next attempt to connect comes at once, always.
    NoBackoff,
    /// A message that is not understood is answered with an error.
    ErrorForMessage,
    /// Nobody asks whether a silent server is still there.
    NoKeepalive,
    /// One stanza too many is said to be handled.
    HandledTooMany,
    /// One stanza too few is said to be handled.
    HandledTooFew,
    /// A resumed stream sends nothing again.
    ResumeSendsNothing,
    /// A resumed stream sends everything again.
    ResumeSendsAll,
    /// What comes after a cursor is trusted, whether the archive knows it or not.
    NoWitness,
    /// Where the archive no longer knows the place before a post, the post is absent.
    ExpiredIsAbsent,
    /// A room is given up for good after a refusal that passes.
    PassingRefusalIsFinal,
    /// A login that is refused for now is not tried again.
    TemporaryFailureIsFinal,
    /// No stream follows one that ended with an error, whichever.
    StreamErrorIsFinal,
    /// A post has twice its time once the clock stands above 2^31 microseconds: in worlds
    /// that end before, on hosts whose clock leapt there.
    DeadlineWraps,
    /// A fetch that is under way when the stream breaks is dropped without an outcome.
    FetchForgotten,
    /// After a link that broke the next attempt waits as long as after a refusal.
    SlowAfterABreak,
    /// A room is asked to let us in again at once, always.
    RejoinWithoutPause,
    /// A room that said that we are in is asked again at once.
    PingWithoutPause,
    /// An archive that lags is looked at again at once.
    LookWithoutPause,
    /// A server that does not close its side is waited for, however long.
    CloseWaits,
    /// What the transport took stays in the buffer until the stream ends.
    WrittenIsKept,
    /// Where an archive has more than a page, a gap is told instead of reading on.
    GapInsteadOfPaging,
    /// After a break a gap is told instead of reading the archive, as if the room were new.
    GapAfterBreak,
    /// An archive that does not show at once what the room said is not waited for.
    UnsettledAtOnce,
    /// What a resumed stream sends again is not the same byte by byte.
    ResendAltered,
    /// Requests for an acknowledgement are not answered.
    RequestUnanswered,
    /// A stanza is written before the session is bound.
    StanzaBeforeBind,
    /// The server's signature is not verified.
    SignatureUnverified,
    /// Results of an archive are taken from whoever sends them.
    ResultsFromAnyone,
    /// The end of a stream tells the password that was refused.
    PasswordTold,
    /// A room is asked twice to let us in, without waiting for its answer.
    JoinedTwice,
    /// After a break a room counts as one without an archive until it says what it can do,
    /// and that is not waited for.
    ArchiveNotAwaited,
}

#[cfg(not(parley_planted))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

#[cfg(parley_planted)]
mod selector {
    use core::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;

    static PLANTED: AtomicU8 = AtomicU8::new(0);

    impl Bug {
        /// All of them.
        pub const ALL: [Self; 49] = [
            Self::LiveBeforeArchive,
            Self::CursorRunsAhead,
            Self::NoDedupe,
            Self::ResumedInOrder,
            Self::DedupeByNick,
            Self::ShortPageIsLast,
            Self::CursorIsFirst,
            Self::LiveAfterBreak,
            Self::FullMeansGone,
            Self::ResendUnseen,
            Self::NotSentThoughSent,
            Self::UnknownIsCommitted,
            Self::OutcomeTwice,
            Self::NoDeadline,
            Self::OfflineTwice,
            Self::OfflineUntold,
            Self::NoRejoin,
            Self::NeverIgnored,
            Self::NoBackoff,
            Self::ErrorForMessage,
            Self::NoKeepalive,
            Self::HandledTooMany,
            Self::HandledTooFew,
            Self::ResumeSendsNothing,
            Self::ResumeSendsAll,
            Self::NoWitness,
            Self::ExpiredIsAbsent,
            Self::PassingRefusalIsFinal,
            Self::TemporaryFailureIsFinal,
            Self::StreamErrorIsFinal,
            Self::DeadlineWraps,
            Self::FetchForgotten,
            Self::SlowAfterABreak,
            Self::RejoinWithoutPause,
            Self::PingWithoutPause,
            Self::LookWithoutPause,
            Self::CloseWaits,
            Self::WrittenIsKept,
            Self::GapInsteadOfPaging,
            Self::GapAfterBreak,
            Self::UnsettledAtOnce,
            Self::ResendAltered,
            Self::RequestUnanswered,
            Self::StanzaBeforeBind,
            Self::SignatureUnverified,
            Self::ResultsFromAnyone,
            Self::PasswordTold,
            Self::JoinedTwice,
            Self::ArchiveNotAwaited,
        ];
    }

    /// Plants one bug, and no other, in the whole process.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
    }

    pub(crate) fn planted(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as u8
    }
}

#[cfg(parley_planted)]
pub use selector::plant;
#[cfg(parley_planted)]
pub(crate) use selector::planted;
