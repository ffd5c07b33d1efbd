// The verbs (but mount: fs/mount.h). Each takes its own arguments (argv[0] is "bakfs VERB", for messages) and returns the exit code.
#pragma once

int verb_init(int argc, char **argv);
int verb_umount(int argc, char **argv);
int verb_keygen(int argc, char **argv);
int verb_list(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_confirm(int argc, char **argv);
int verb_prune(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_notify_test(int argc, char **argv);
int verb_restore(int argc, char **argv);
int verb_backup(int argc, char **argv);
int verb_migrate(int argc, char **argv);
int verb_verify(int argc, char **argv);
int verb_drill(int argc, char **argv);
