-- One after the other: what is missing must not be accepted twice.
lock table audit_acceptances in share row exclusive mode
