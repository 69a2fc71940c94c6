-- $1 owner, $2 now
update links
set deleted_at = $2, updated_at = $2, version = version + 1
where owner = $1
  and owner is not null
  and deleted_at is null
