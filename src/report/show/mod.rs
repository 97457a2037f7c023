//! Shows a sheet. Never computes a figure, and never drops one without saying so.
