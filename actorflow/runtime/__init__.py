"""Where stages live: one subpackage for each runtime behind the supervisor's seam."""
