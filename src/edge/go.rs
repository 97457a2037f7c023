//! `/go`: a platform's signed outbound click as HTTP. Decides nothing.

use http::HeaderMap;

use super::answer::{self, Answered};
use super::service::{Answering, Clicks, answering, wish};
use crate::click::go::Gone;
use crate::click::{Answer, Ask};
use crate::config::settings::OnDeadline;

impl Clicks {
    /// Answers an outbound click.
    pub(super) fn go(&self, ask: &Ask<'_>, headers: &HeaderMap) -> Answering {
        let mut clicked = match self.shared.worker.go(ask) {
            Gone::Clicked(clicked) => clicked,
            Gone::Unfit(fault) => return Answering::Now(Some(unfit(&fault, headers))),
        };
        self.hold(&mut clicked);
        answering(&self.shared, clicked, headers)
    }

    /// Lets the answer wait at its socket for its hop, where the settings allow that.
    pub(super) fn hold(&self, clicked: &mut crate::click::Clicked) {
        match (clicked.commit.take(), self.shared.on_deadline) {
            // An answer that has left hyper can no longer become another one.
            (commit, OnDeadline::Refuse) => clicked.commit = commit,
            (Some(commit), OnDeadline::Redirect) => {
                self.outbox.hold(commit, matches!(clicked.answer, Answer::Redirect(_)));
            }
            (None, _) => {}
        }
    }
}

fn unfit(fault: &crate::click::go::GoFault, headers: &HeaderMap) -> Answered {
    answer::unfit(fault.code(), &fault.to_string(), wish(headers))
}
