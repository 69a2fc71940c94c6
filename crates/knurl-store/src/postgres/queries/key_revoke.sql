-- $1 id, $2 now; the first revocation stays
update keys
set revoked_at = coalesce(revoked_at, $2)
where id = $1
