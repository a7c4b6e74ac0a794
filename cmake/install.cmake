# What `cmake --install` puts where, as Debian has it.
install(TARGETS pgsteward RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES systemd/pgsteward.service DESTINATION lib/systemd/system)
install(FILES systemd/pgsteward.sysusers DESTINATION lib/sysusers.d RENAME pgsteward.conf)
install(FILES systemd/pgsteward.tmpfiles DESTINATION lib/tmpfiles.d RENAME pgsteward.conf)
install(FILES systemd/pgsteward.yaml systemd/credential.conf schema/roles.sql
  schema/job_roles.sql schema/partitioned_archive.sql DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY grafana DESTINATION ${CMAKE_INSTALL_DATADIR}/pgsteward)
