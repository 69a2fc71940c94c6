-- ?1 id
delete from audit_acceptances
where id = ?1
