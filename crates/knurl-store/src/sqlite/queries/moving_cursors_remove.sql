-- ?1 spool
delete from cursors
where spool_id = ?1
