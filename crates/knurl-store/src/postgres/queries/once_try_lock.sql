-- $1 the number that the id begins with. False where another transaction is at it.
select pg_try_advisory_xact_lock($1)
