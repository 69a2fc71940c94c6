-- ?1 target, ?2 now. The oldest that answers.
-- This is a scan of the table, by intent: an index of all targets would cost every create, and few ask.
select id, domain, short_code, target, title, is_active, status, owner, expires_at, created_at, updated_at, deleted_at, version
from links
where owner is null
  and deleted_at is null
  and is_active = 1
  and target = ?1
  and (expires_at is null or expires_at > ?2)
order by id
limit 1
