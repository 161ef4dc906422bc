// Gives a command under `jco run` one folder, as `/`: the one that OTSCERT_PREOPEN names. By itself jco gives none.
import process from "node:process";
import { _addPreopen } from "@bytecodealliance/preview2-shim/filesystem";

_addPreopen("/", process.env.OTSCERT_PREOPEN);
