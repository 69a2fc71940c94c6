-- $1 id, $2 now
update links
set deleted_at = $2, updated_at = $2, version = version + 1
where id = $1
