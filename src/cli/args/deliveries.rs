//! What can be typed about what is told to others. Only names and meanings.

use clap::{Args, Subcommand};

use super::Place;

/// Which deliveries are listed.
#[derive(Args, Debug)]
pub struct Which {
    /// In this state only: pending, delivered or dead.
    #[arg(long)]
    pub state: Option<String>,
    /// Those that were delivered, too.
    #[arg(long, conflicts_with = "state")]
    pub all: bool,
    /// At most so many of a state.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// `hopgate webhook`.
#[derive(Subcommand, Debug)]
pub enum Webhook {
    /// List webhooks, and deliveries that wait or were given up.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// To this webhook only.
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        which: Which,
        /// One JSON array of the deliveries.
        #[arg(long)]
        json: bool,
    },
    /// Send an event again that was not delivered.
    Retry {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The event's id, as `webhook list` shows it.
        id: String,
        /// To this webhook only.
        #[arg(long, value_name = "NAME")]
        webhook: Option<String>,
    },
    /// Send a webhook.test event now, and say what the receiver answers.
    Test {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The webhook.
        name: String,
    },
}

/// `hopgate postback`.
#[derive(Subcommand, Debug)]
pub enum Postback {
    /// List postbacks, and events that wait or were given up.
    List {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// To this postback only.
        #[arg(long, value_name = "NAME")]
        postback: Option<String>,
        #[command(flatten)]
        #[allow(missing_docs)]
        which: Which,
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Tell again of an event that was not delivered.
    Retry {
        #[command(flatten)]
        #[allow(missing_docs)]
        place: Place,
        /// The event's id, as `postback list` shows it.
        id: String,
        /// To this postback only.
        #[arg(long, value_name = "NAME")]
        postback: Option<String>,
    },
}
