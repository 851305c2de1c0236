// `.ci/run` copies this next to npm's packages. The parts of the page are scripts that share their
// names: tsc finds the undefined ones.
import js from "@eslint/js";

const rules = {
  ...js.configs.recommended.rules,
  "no-undef": "off",
  "no-unused-vars": ["error", { vars: "local" }],
  eqeqeq: "error",
  "no-implicit-coercion": "error",
  "no-shadow": "error",
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
};

export default [
  { files: ["**/page/*.js"], ignores: ["**/module.js"], languageOptions: { sourceType: "script" }, rules },
  { files: ["**/module.js", "**/*.mjs"], rules },
];
