SELECT 'CREATE ROLE task_service' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'task_service') \gexec
ALTER ROLE task_service LOGIN PASSWORD 'password-of-task-service-database';
SELECT 'CREATE DATABASE task_service OWNER task_service'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'task_service') \gexec
REVOKE ALL ON DATABASE task_service FROM PUBLIC;

SELECT 'CREATE ROLE waste_service' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'waste_service') \gexec
ALTER ROLE waste_service LOGIN PASSWORD 'password-of-waste-service-database';
SELECT 'CREATE DATABASE waste_service OWNER waste_service'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'waste_service') \gexec
REVOKE ALL ON DATABASE waste_service FROM PUBLIC;

SELECT 'CREATE ROLE desk_service' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'desk_service') \gexec
ALTER ROLE desk_service LOGIN PASSWORD 'password-of-desk-service-database';
SELECT 'CREATE DATABASE desk_service OWNER desk_service'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'desk_service') \gexec
REVOKE ALL ON DATABASE desk_service FROM PUBLIC;

REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
