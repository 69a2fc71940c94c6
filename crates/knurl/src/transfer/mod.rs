//! Import and export of users, links and events as CSV and JSON Lines.
