const admin = connect("mongodb://superuser:password-of-mongodb@mongodb:27017/admin?directConnection=true");
if (!admin.hello().setName) {
  const members = [{ _id: 0, host: "mongodb:27017" }];
  admin.adminCommand({ replSetInitiate: { _id: "rs0", members } });
}
const end = Date.now() + 60000;
while (!admin.hello().isWritablePrimary) {
  if (Date.now() > end) throw new Error("MongoDB has not become a primary within 60 s: see its log.");
  sleep(200);
}
for (const [database, user, pwd] of [
 [
  "text_worker",
  "text_worker",
  "password-of-text-worker-database"
 ]
]) {
  const db = admin.getSiblingDB(database);
  const roles = ["readWrite", "dbAdmin"].map((role) => ({ role, db: database }));
  db.getUser(user) ? db.updateUser(user, { pwd, roles }) : db.createUser({ user, pwd, roles });
}
